use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::json;

use super::*;
use crate::access::ResourceAction;
use crate::store::{Key, Store};

const NAMES: [&str; 3] = ["a", "b", "c"];
const NAMESPACES: [&str; 3] = ["", "x", "y"];

/// A write of a role or a binding.
#[derive(Debug, Clone)]
struct Write {
    plural: &'static str,
    namespace: &'static str,
    name: &'static str,
    /// `None` takes the object away.
    content: Option<Value>,
}

fn some_of(values: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(values, 0..=values.len())
}

fn rule() -> impl Strategy<Value = Value> {
    let of_objects = (
        some_of(&["get", "list", "*"]),
        some_of(&["", "apps", "*"]),
        some_of(&["pods", "pods/status", "*/status", "jobs", "*"]),
        some_of(&["a", "b"]),
    );
    let of_objects = of_objects.prop_map(|(verbs, groups, resources, names)| {
        json!({"verbs": verbs, "apiGroups": groups, "resources": resources, "resourceNames": names})
    });
    let of_paths = (
        some_of(&["get", "*"]),
        some_of(&["/api", "/api/*", "/healthz", "*"]),
    );
    let of_paths = of_paths.prop_map(|(verbs, urls)| json!({"verbs": verbs, "nonResourceURLs": urls}));
    prop_oneof![3 => of_objects, 1 => of_paths]
}

fn subject() -> impl Strategy<Value = Value> {
    let kind = select(vec!["User", "Group", "ServiceAccount"]);
    (kind, select(&NAMES[..]), select(&NAMESPACES[..])).prop_map(|(kind, name, namespace)| {
        match (kind, namespace) {
            ("ServiceAccount", "") => json!({"kind": kind, "name": name}),
            ("ServiceAccount", _) => json!({"kind": kind, "name": name, "namespace": namespace}),
            _ => json!({"kind": kind, "name": name}),
        }
    })
}

fn write() -> impl Strategy<Value = Write> {
    let role = vec(rule(), 0..3).prop_map(|rules| json!({"rules": rules}));
    let role_kind = select(vec!["Role", "ClusterRole"]);
    let binding = (vec(subject(), 0..3), role_kind, select(&NAMES[..])).prop_map(
        |(subjects, kind, name)| json!({"subjects": subjects, "roleRef": {"kind": kind, "name": name}}),
    );
    let written = prop_oneof![
        role.prop_map(|role| ("roles", role)),
        binding.prop_map(|binding| ("rolebindings", binding))
    ];
    (
        written,
        select(&NAMESPACES[..]),
        select(&NAMES[..]),
        prop::bool::weighted(0.8),
    )
        .prop_map(|((plural, content), namespace, name, stays)| Write {
            plural,
            namespace,
            name,
            content: stays.then_some(content),
        })
}

fn action() -> impl Strategy<Value = Action> {
    let of_objects = (
        select(vec!["get", "list", "watch"]),
        select(vec!["", "apps"]),
        select(vec!["pods", "jobs"]),
        select(vec!["", "status"]),
        select(&NAMESPACES[..]),
        select(vec!["", "a", "c"]),
    );
    let of_objects = of_objects.prop_map(|(verb, group, resource, subresource, namespace, name)| {
        Action::Resource(ResourceAction {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    });
    let of_paths = (
        select(vec!["get", "post"]),
        select(vec!["/api", "/api/v1", "/healthz"]),
    );
    let of_paths = of_paths.prop_map(|(verb, path)| Action::Path {
        verb: verb.to_owned(),
        path: path.to_owned(),
    });
    prop_oneof![4 => of_objects, 1 => of_paths]
}

fn user() -> impl Strategy<Value = User> {
    let plain = (select(&NAMES[..]), some_of(&["a", "b"]))
        .prop_map(|(name, groups)| User::authenticated(name, groups.into_iter().map(str::to_owned)));
    let account = (select(vec!["x", "y"]), select(&NAMES[..]))
        .prop_map(|(namespace, name)| User::service_account(namespace, name));
    prop_oneof![plain, account]
}

/// The storage of a kind, in a namespace or of the cluster.
fn storage(plural: &str, namespace: &str) -> Arc<str> {
    let cluster = if namespace.is_empty() { "cluster" } else { "" };
    format!("{cluster}{plural}.{RBAC_GROUP}").into()
}

fn apply(store: &Store, write: &Write) {
    let storage = storage(write.plural, write.namespace);
    store.write(|state| match &write.content {
        Some(content) => {
            let mut object = content.clone();
            object["metadata"] = json!({"name": write.name, "namespace": write.namespace});
            state.put(&storage, object);
        }
        None => _ = state.remove(&storage, &Key::new(write.namespace, write.name)),
    });
}

/// The definition, over the stored objects, without an index.
fn naive(store: &Store, user: &User, action: &Action) -> bool {
    let namespace = action.namespace();
    store.read(|state| {
        let mut places = vec![""];
        places.extend((!namespace.is_empty()).then_some(namespace));
        places.iter().any(|place| {
            let bindings = storage("rolebindings", place);
            state.scan(&bindings, Some(place)).any(|(_, binding)| {
                let bound = items(&binding["subjects"]).any(|subject| is_subject(subject, place, user));
                let role = &binding["roleRef"];
                let of = if role["kind"] == "Role" { place } else { "" };
                let key = Key::new(of, role["name"].as_str().unwrap_or_default());
                let role = state.get(&storage("roles", of), &key);
                bound && role.is_some_and(|role| items(&role["rules"]).any(|rule| says(rule, action)))
            })
        })
    })
}

fn is_subject(subject: &Value, place: &str, user: &User) -> bool {
    let name = subject["name"].as_str().unwrap_or_default();
    match subject["kind"].as_str() {
        Some("User") => user.name == name,
        Some("Group") => user.groups.iter().any(|group| group == name),
        _ => {
            let namespace = subject["namespace"].as_str().unwrap_or(place);
            !namespace.is_empty() && user.name == format!("system:serviceaccount:{namespace}:{name}")
        }
    }
}

fn says(rule: &Value, action: &Action) -> bool {
    let has = |field: &str, wanted: &[&str]| {
        items(&rule[field]).any(|value| wanted.contains(&value.as_str().unwrap_or_default()))
    };
    match action {
        Action::Path { verb, path } => {
            let prefix = |url: &Value| {
                let url = url.as_str().unwrap_or_default();
                url == path || url.strip_suffix('*').is_some_and(|start| path.starts_with(start))
            };
            has("verbs", &["*", verb]) && items(&rule["nonResourceURLs"]).any(prefix)
        }
        Action::Resource(action) => {
            let whole = match action.subresource.as_str() {
                "" => vec!["*".to_owned(), action.resource.clone()],
                part => vec![
                    "*".to_owned(),
                    format!("*/{part}"),
                    format!("{}/{part}", action.resource),
                ],
            };
            let whole: Vec<&str> = whole.iter().map(String::as_str).collect();
            let named = items(&rule["resourceNames"]).count() > 0;
            has("verbs", &["*", &action.verb])
                && has("apiGroups", &["*", &action.group])
                && has("resources", &whole)
                && (!named || has("resourceNames", &[&action.name]))
        }
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_decides_as_the_stored_objects_say(
        writes in vec(write(), 0..24),
        questions in vec((user(), action()), 16),
    ) {
        let store = Store::new(8);
        let index = Arc::new(RuleIndex::default());
        store.observe(Arc::clone(&index) as _);
        for write in &writes {
            apply(&store, write);
            for (user, action) in &questions {
                prop_assert_eq!(index.allows(user, action), naive(&store, user, action), "{:?} {:?}", user, action);
            }
        }
    }

    #[test]
    fn a_rule_that_is_not_missing_allows_nothing_new(
        held in vec(rule(), 0..4),
        wanted in vec(rule(), 1..3),
        actions in vec(action(), 16),
    ) {
        let rules = |list: &[Value]| rules_of(&json!({"rules": list})).expect("rules");
        let (held, wanted) = (rules(&held), rules(&wanted));
        let missing = crate::access::rule::missing(&held, &wanted);
        for action in &actions {
            let allows = |rules: &[Rule]| rules.iter().any(|rule| rule.allows(action));
            prop_assert!(!allows(&wanted) || allows(&held) || allows(&missing), "{:?} {:?}", action, missing);
        }
        prop_assert!(crate::access::rule::missing(&wanted, &wanted).is_empty());
    }
}

fn binding(name: &str, role: &str) -> Write {
    Write {
        plural: "rolebindings",
        namespace: "x",
        name: "a",
        content: Some(json!({
            "subjects": [{"kind": "ServiceAccount", "name": name}], "roleRef": {"kind": "Role", "name": role},
        })),
    }
}

#[test]
fn a_decision_says_why() {
    let store = Store::new(8);
    let index = Arc::new(RuleIndex::default());
    store.observe(Arc::clone(&index) as _);
    let user = User::service_account("x", "op");
    let action = Action::Resource(ResourceAction {
        verb: "get".to_owned(),
        resource: "pods".to_owned(),
        namespace: "x".to_owned(),
        ..ResourceAction::default()
    });
    assert_eq!(index.decide(&user, &action).reason(), "");
    apply(&store, &binding("op", "b"));
    assert_eq!(
        index.decide(&user, &action).reason(),
        "RBAC: role.rbac.authorization.k8s.io \"b\" not found"
    );
    let rules = json!({"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]});
    apply(
        &store,
        &Write {
            plural: "roles",
            name: "b",
            content: Some(rules),
            ..binding("op", "b")
        },
    );
    assert_eq!(
        index.decide(&user, &action).reason(),
        "RBAC: allowed by RoleBinding \"a/x\" of Role \"b\" to ServiceAccount \"op/x\""
    );
    assert_eq!(index.decide(&User::administrator(), &action).reason(), "");
}

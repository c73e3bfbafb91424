//! The routes of the API, with what is sent to each.
//!
//! Invariant: these are exactly the routes that the Manager serves; a test compares them with its routers.

use super::world::{EDGE, Kind};

/// What the names in a path stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Of {
    /// There are none.
    Nothing,
    /// An object that exists.
    Object(Kind),
    /// The last task.
    Task,
    /// The last edit.
    Edit,
    /// The template of the Controllers.
    Template,
    /// The tenant.
    Tenant,
    /// A fault.
    Fault,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// What the body of a request is made from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Body {
    /// None is needed.
    None,
    /// That of the object in the path, or one to add to the collection.
    Object,
    /// As `Object`, of which nothing is stored.
    Unsaved,
    /// Several objects at once: the one in the path, or of its collection.
    Bulk,
    /// That of an activation.
    Release,
    /// What a template needs before it is attached.
    Input,
    /// A template to attach again.
    Attach,
    /// Devices of a policy group.
    Devices,
    /// Devices that a policy group is deployed to.
    Deploy,
    /// The variables of devices.
    Variables,
    /// A query of statistics; without a body, in the query of the path.
    Search,
    /// A form to log in.
    Form,
    /// The name and password to log in for tokens.
    Password,
    /// The token to have another for.
    Refresh,
    /// The id and secret to log in through the gateway.
    Secret,
    /// A fault to inject.
    Fault,
}

/// A route: a method, a path as the router has it, and what a request to it consists of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) query: &'static str,
    pub(super) of: Of,
    pub(super) body: Body,
}

/// Routes with one beginning.
struct Group {
    below: &'static str,
    of: Of,
    routes: &'static [End],
}

/// What follows the beginning of a route, with the query if there is one.
struct End {
    method: &'static str,
    path: &'static str,
    body: Body,
}

impl End {
    const fn with(self, body: Body) -> Self {
        Self { body, ..self }
    }
}

const fn end(method: &'static str, path: &'static str) -> End {
    End {
        method,
        path,
        body: Body::None,
    }
}

const fn get(path: &'static str) -> End {
    end("GET", path)
}

const fn post(path: &'static str) -> End {
    end("POST", path)
}

const fn put(path: &'static str) -> End {
    end("PUT", path)
}

const fn delete(path: &'static str) -> End {
    end("DELETE", path)
}

const DATASERVICE: &str = "/dataservice";
const DEVICE: &str = "/dataservice/device";
const APPROUTE: &str = "/dataservice/statistics/approute";
const TEMPLATE: &str = "/dataservice/template";
const CONFIG: &str = "/dataservice/template/device/config";
pub(super) const LIST: &str = "/dataservice/template/policy/list";
pub(super) const DEFINITION: &str = "/dataservice/template/policy/definition";
pub(super) const VSMART: &str = "/dataservice/template/policy/vsmart";
const ASSEMBLY: &str = "/dataservice/template/policy/assembly/vsmart";
pub(super) const PROFILE: &str = "/dataservice/v1/feature-profile/sdwan";
pub(super) const GROUP: &str = "/dataservice/v1/policy-group";
const OWN: &str = "/pathproof/v1";
pub(super) const CANCEL: &str = "/dataservice/device/action/status/cancel";

/// By what statistics are compared.
const FIGURES: Of = Of::Word(&["latency", "jitter", "loss_percentage", "vqoe_score"]);

static GROUPS: [Group; 22] = [
    Group {
        below: "",
        of: Of::Nothing,
        routes: &[
            post("/j_security_check").with(Body::Form),
            get("/logout"),
            post("/logout"),
            post("/jwt/login").with(Body::Password),
            post("/jwt/refresh").with(Body::Refresh),
            post("/apigw/organization/registration").with(Body::Secret),
            post("/apigw/login").with(Body::Secret),
            get("/"),
            get("/welcome.html"),
        ],
    },
    Group {
        below: DATASERVICE,
        of: Of::Nothing,
        routes: &[
            get("/client/server/ready"),
            get("/client/token?json=true"),
            get("/client/server"),
            get("/client/about"),
            get("/tenant"),
        ],
    },
    Group {
        below: "/dataservice/tenant",
        of: Of::Tenant,
        routes: &[post("/{id}/vsessionid")],
    },
    Group {
        below: "/dataservice/system/device",
        of: Of::Word(&["vedges", "controllers"]),
        routes: &[get("/{category}")],
    },
    Group {
        below: DEVICE,
        of: Of::Nothing,
        routes: &[
            get(""),
            get("/reachable?personality=vedge"),
            get("/system/info?deviceId=10.255.0.1"),
            get("/monitor"),
            get("/counters?deviceId=10.255.0.2"),
            get("/control/connections?deviceId=10.255.0.1"),
            get("/tloc?deviceId=10.255.0.1"),
            get("/bfd/sessions?deviceId=10.255.0.1"),
            get("/bfd/summary?deviceId=10.255.0.1"),
            get("/bfd/sites/summary"),
            get("/bfd/sites/detail?state=siteup"),
            get("/bfd/state/device/tlocInterfaceMap?deviceId=10.255.0.1"),
            get("/app-route/statistics?deviceId=10.255.0.1"),
            get("/app-route/sla-class?deviceId=10.255.0.1"),
            get("/tunnel/statistics?deviceId=10.255.0.1"),
            get("/tunnel/bfd_statistics?deviceId=10.255.0.1"),
            get("/tunnel/fec_statistics?deviceId=10.255.0.1"),
            get("/tunnel/ipsec_statistics?deviceId=10.255.0.1"),
            get("/tunnel/packet-duplicate?deviceId=10.255.0.1"),
            get("/tunnel/gre-keepalives?deviceId=10.255.0.1"),
            get("/omp/peers?deviceId=10.255.0.1"),
            get("/omp/summary?deviceId=10.255.0.1"),
            get("/omp/routes/received?deviceId=10.255.0.1"),
            get("/omp/routes/advertised?deviceId=10.255.0.1"),
            get("/omp/tlocs/received?deviceId=10.255.0.1"),
            get("/omp/tlocs/advertised?deviceId=10.255.0.1"),
            get("/policy/approutepolicyfilter?deviceId=10.255.0.1"),
            get("/policy/datapolicyfilter?deviceId=10.255.0.1"),
            get("/policy/vsmart?deviceId=10.255.0.1"),
            get("/action/status/tasks"),
            get("/action/status/tasks/activeCount"),
        ],
    },
    Group {
        below: "/dataservice/device/action/status",
        of: Of::Task,
        routes: &[get("/{id}"), post("/cancel/{id}")],
    },
    Group {
        below: APPROUTE,
        of: Of::Nothing,
        routes: &[
            get("").with(Body::Search),
            post("").with(Body::Search),
            get("/fields"),
            get("/query/fields"),
            get("/doccount").with(Body::Search),
            post("/doccount").with(Body::Search),
            get("/aggregation").with(Body::Search),
            post("/aggregation").with(Body::Search),
            get("/fec/aggregation").with(Body::Search),
            post("/fec/aggregation").with(Body::Search),
            get("/page").with(Body::Search),
            post("/page?count=2").with(Body::Search),
        ],
    },
    Group {
        below: APPROUTE,
        of: FIGURES,
        routes: &[
            get("/tunnels/health/{type}?last_n_hours=1&limit=3"),
            get("/tunnels/summary/{type}").with(Body::Search),
            get("/transport/summary/{type}").with(Body::Search),
        ],
    },
    Group {
        below: "/dataservice/data/device/statistics",
        of: Of::Word(&["approutestatsstatistics"]),
        routes: &[get("/{type}?timeZone=UTC&count=3")],
    },
    Group {
        below: "/dataservice/data/device/state",
        of: Of::Word(&["BFDSessions", "OMPPeer", "ControlConnection"]),
        routes: &[get("/{type}?count=3")],
    },
    Group {
        below: TEMPLATE,
        of: Of::Edit,
        routes: &[put("/lock/{process_id}"), delete("/lock/{process_id}")],
    },
    Group {
        below: TEMPLATE,
        of: Of::Nothing,
        routes: &[get("/device?feature=all")],
    },
    Group {
        below: CONFIG,
        of: Of::Template,
        routes: &[
            get("/attached/{id}"),
            post("/input").with(Body::Input),
            post("/input/").with(Body::Input),
            post("/attachfeature").with(Body::Attach),
            post("/attachcli").with(Body::Attach),
            post("/attachment").with(Body::Attach),
        ],
    },
    Group {
        below: LIST,
        of: Of::Object(Kind::List),
        routes: &[
            get(""),
            get("/{kind}"),
            post("/{kind}").with(Body::Object),
            post("/{kind}/preview").with(Body::Unsaved),
            get("/{kind}/preview/{id}"),
            get("/{kind}/{id}"),
            put("/{kind}/{id}").with(Body::Object),
            delete("/{kind}/{id}"),
        ],
    },
    Group {
        below: DEFINITION,
        of: Of::Object(Kind::Definition),
        routes: &[
            get("/{kind}"),
            post("/{kind}").with(Body::Object),
            put("/{kind}/bulk").with(Body::Bulk),
            put("/{kind}/multiple/{id}").with(Body::Bulk),
            post("/{kind}/preview").with(Body::Unsaved),
            get("/{kind}/preview/{id}"),
            get("/{kind}/{id}"),
            put("/{kind}/{id}").with(Body::Object),
            delete("/{kind}/{id}"),
        ],
    },
    Group {
        below: VSMART,
        of: Of::Object(Kind::Policy),
        routes: &[
            get(""),
            post("").with(Body::Object),
            get("/connectivity/status"),
            get("/definition/{id}"),
            put("/central/{id}").with(Body::Object),
            post("/activate/{id}?confirm=true").with(Body::Release),
            post("/activate/central/{id}").with(Body::Release),
            post("/deactivate/{id}?confirm=true").with(Body::Release),
            get("/{id}"),
            put("/{id}").with(Body::Object),
            delete("/{id}"),
        ],
    },
    Group {
        below: ASSEMBLY,
        of: Of::Object(Kind::Policy),
        routes: &[post("").with(Body::Unsaved), get("/{id}")],
    },
    Group {
        below: PROFILE,
        of: Of::Object(Kind::Profile),
        routes: &[
            get("/{type}"),
            post("/{type}").with(Body::Object),
            get("/{type}/{id}"),
            put("/{type}/{id}").with(Body::Object),
            delete("/{type}/{id}"),
        ],
    },
    Group {
        below: PROFILE,
        of: Of::Object(Kind::Parcel),
        routes: &[
            get("/{type}/{profile}/{kind}"),
            post("/{type}/{profile}/{kind}").with(Body::Object),
            get("/{type}/{profile}/{kind}/{id}"),
            put("/{type}/{profile}/{kind}/{id}").with(Body::Object),
            delete("/{type}/{profile}/{kind}/{id}"),
        ],
    },
    Group {
        below: GROUP,
        of: Of::Object(Kind::Group),
        routes: &[
            get(""),
            post("").with(Body::Object),
            get("/{id}"),
            put("/{id}").with(Body::Object),
            delete("/{id}"),
            get("/{id}/device/associate"),
            post("/{id}/device/associate").with(Body::Devices),
            put("/{id}/device/associate").with(Body::Devices),
            delete("/{id}/device/associate").with(Body::Devices),
            get("/{id}/device/variables"),
            put("/{id}/device/variables").with(Body::Variables),
            post("/{id}/device/deploy").with(Body::Deploy),
            post("/{id}/device/{device}/preview"),
        ],
    },
    Group {
        below: OWN,
        of: Of::Nothing,
        routes: &[
            get("/state"),
            get("/faults"),
            post("/faults").with(Body::Fault),
            delete("/faults"),
        ],
    },
    Group {
        below: OWN,
        of: Of::Fault,
        routes: &[delete("/faults/{id}")],
    },
];

/// Every route.
pub(super) fn all() -> Vec<Route> {
    let mut routes = Vec::new();
    for group in &GROUPS {
        for end in group.routes {
            let (path, query) = end.path.split_once('?').unwrap_or((end.path, ""));
            let route = Route {
                method: end.method,
                path: format!("{}{path}", group.below),
                query,
                of: group.of,
                body: end.body,
            };
            // The product's newer resources are served with a slash at their end, too.
            if [PROFILE, GROUP].contains(&group.below) {
                let path = format!("{}/", route.path);
                routes.push(Route {
                    path,
                    ..route.clone()
                });
            }
            routes.push(route);
        }
    }
    routes
}

/// A path with what its names stand for.
pub(super) fn filled<'a>(path: &str, names: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let names = names.into_iter().chain([("device", EDGE)]);
    names.fold(path.to_owned(), |path, (name, value)| {
        path.replace(&format!("{{{name}}}"), value)
    })
}

mod tests {
    use std::collections::BTreeSet;

    use super::super::world::World;
    use super::*;
    use crate::manager::rest;

    /// The paths of a router, which it tells nobody but who debugs it.
    fn paths(router: &axum::Router, below: &str) -> Vec<String> {
        let debug = format!("{router:?}");
        let (routes, _) = debug.split_once("fallback_router").unwrap();
        let texts = routes.split('"').skip(1).step_by(2);
        let paths = texts.filter(|text| text.starts_with('/') && !text.contains("{*"));
        paths.map(|path| format!("{below}{path}")).collect()
    }

    #[tokio::test]
    async fn the_routes_are_those_of_the_routers() {
        let world = World::new().await;
        let manager = &world.manager;
        let paths: BTreeSet<String> = paths(&manager.router, "")
            .into_iter()
            .chain(paths(&rest::of_provider(manager.apps[0].clone()), DATASERVICE))
            .collect();
        let mut served = BTreeSet::new();
        for path in paths {
            let names = ["id", "kind", "type", "profile", "category", "process_id"];
            let sent = filled(&path, names.map(|name| (name, "x")));
            for method in world.methods(&sent).await {
                served.insert((method, path.clone()));
            }
        }
        let here: BTreeSet<(String, String)> = all()
            .into_iter()
            .map(|route| (route.method.to_owned(), route.path))
            .collect();
        assert!(served.contains(&("PUT".to_owned(), format!("{LIST}/{{kind}}/{{id}}"))));
        let missing: Vec<_> = served.symmetric_difference(&here).collect();
        assert!(missing.is_empty(), "served or here, not both: {missing:?}");
    }
}

use super::*;

fn dual() -> Grants {
    Grants::new(ServiceRanges {
        v4: "10.96.0.0/29".parse().expect("a network"),
        v6: Some("fd00::/120".parse().expect("a network")),
    })
}

fn single() -> Grants {
    let v4: Ipv4Net = "10.96.0.0/29".parse().expect("a network");
    Grants::new(v4.into())
}

fn assigned(grants: &mut Grants, mut spec: Value) -> Result<Value, String> {
    if spec.get("type").is_none() {
        spec["type"] = json!("ClusterIP");
    }
    let mut service = json!({"spec": spec});
    match grants.assign(None, &mut service) {
        Ok(()) => Ok(service["spec"].clone()),
        Err(errors) => Err(errors[0].to_string()),
    }
}

#[test]
fn a_service_gets_an_address_of_each_of_its_families() {
    let mut grants = dual();
    let spec = assigned(&mut grants, json!({})).expect("assigned");
    assert_eq!(
        (&spec["ipFamilyPolicy"], &spec["ipFamilies"], &spec["clusterIPs"]),
        (&json!("SingleStack"), &json!(["IPv4"]), &json!(["10.96.0.1"]))
    );
    let spec = assigned(&mut grants, json!({"ipFamilyPolicy": "RequireDualStack"})).expect("assigned");
    assert_eq!(spec["clusterIPs"], json!(["10.96.0.2", "fd00::1"]));
    let six = json!({"ipFamilies": ["IPv6"], "ipFamilyPolicy": "PreferDualStack"});
    let spec = assigned(&mut grants, six).expect("assigned");
    assert_eq!(
        (&spec["clusterIP"], &spec["clusterIPs"], &spec["ipFamilies"]),
        (
            &json!("fd00::2"),
            &json!(["fd00::2", "10.96.0.3"]),
            &json!(["IPv6", "IPv4"])
        )
    );
}

#[test]
fn a_cluster_of_one_family_prefers_two_in_vain_and_requires_them_not_at_all() {
    let mut grants = single();
    let spec = assigned(&mut grants, json!({"ipFamilyPolicy": "PreferDualStack"})).expect("assigned");
    assert_eq!(spec["ipFamilies"], json!(["IPv4"]));
    for (spec, words) in [
        (
            json!({"ipFamilyPolicy": "RequireDualStack"}),
            "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for \
             dual-stack services",
        ),
        (
            json!({"ipFamilies": ["IPv6"]}),
            "spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster",
        ),
        (
            json!({"ipFamilies": ["IPv4", "IPv6"]}),
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' \
             when multiple IP families are specified",
        ),
    ] {
        assert_eq!(assigned(&mut grants, spec), Err(words.to_owned()));
    }
    let headless = assigned(&mut grants, json!({"clusterIP": "None"})).expect("assigned");
    assert_eq!(
        (&headless["clusterIPs"], &headless["ipFamilies"]),
        (&json!(["None"]), &json!(["IPv4", "IPv6"]))
    );
}

#[test]
fn a_taken_or_foreign_address_is_refused_and_costs_nothing() {
    let mut grants = single();
    assigned(&mut grants, json!({"clusterIP": "10.96.0.2"})).expect("free");
    let refusal = |grants: &mut Grants, address: &str| {
        assigned(
            grants,
            json!({"clusterIP": address, "type": "NodePort", "ports": [{"port": 1}]}),
        )
        .expect_err("refused")
    };
    assert!(refusal(&mut grants, "10.96.0.2").ends_with("provided IP is already allocated"));
    assert!(
        refusal(&mut grants, "10.97.0.1").ends_with("the provided network does not match the current range")
    );
    assert!(refusal(&mut grants, "fd00::1").ends_with("not configured on this cluster"));
    // The address that came before the refused port is free again.
    let taken = json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": 80}]});
    assert_eq!(
        assigned(&mut grants, taken),
        Err(
            "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid \
             ports is 30000-32767"
                .to_owned()
        )
    );
    let five = (0..5)
        .map(|_| assigned(&mut grants, json!({})))
        .collect::<Result<Vec<_>, _>>();
    assert!(five.is_ok(), "{five:?}");
    assert!(assigned(&mut grants, json!({})).is_err());
}

#[test]
fn node_ports_are_for_types_that_have_them() {
    let mut grants = single();
    let ports = json!([{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP", "nodePort": 30053}]);
    let spec = assigned(&mut grants, json!({"type": "NodePort", "ports": ports})).expect("assigned");
    let numbers = |spec: &Value| {
        items(spec, "/ports")
            .iter()
            .map(|port| port["nodePort"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers(&spec), [json!(30000), json!(30053)]);
    let without = json!({
        "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": [{"port": 80}],
    });
    assert_eq!(
        numbers(&assigned(&mut grants, without).expect("assigned")),
        [Value::Null]
    );
    let both = json!([
        {"port": 53, "protocol": "TCP", "nodePort": 30054}, {"port": 53, "protocol": "UDP", "nodePort": 30054},
    ]);
    assigned(&mut grants, json!({"type": "NodePort", "ports": both})).expect("one port for two protocols");
    let taken = json!([{"port": 53, "nodePort": 30054}]);
    assert_eq!(
        assigned(&mut grants, json!({"type": "NodePort", "ports": taken})),
        Err("spec.ports[0].nodePort: Invalid value: 30054: provided port is already allocated".to_owned())
    );
}

#[test]
fn a_service_keeps_what_it_holds() {
    let mut grants = dual();
    let spec = json!({"type": "NodePort", "ports": [{"port": 80}], "ipFamilyPolicy": "PreferDualStack"});
    let current = json!({"spec": assigned(&mut grants, spec).expect("assigned")});
    let mut next = current.clone();
    grants.assign(Some(&current), &mut next).expect("nothing is new");
    assert_eq!(next, current);
    grants.release(held(&current));
    let again = json!({"clusterIPs": current["spec"]["clusterIPs"], "ipFamilyPolicy": "RequireDualStack"});
    assigned(&mut grants, again).expect("free again");
}

use super::*;
use crate::manager::fixture;
use crate::manager::store::Store;

#[test]
fn the_text_is_the_command_language() {
    let mut store = Store::default();
    let ids = fixture::policy(&mut store);
    let policy = store.objects().policy(&ids.policy.to_string()).unwrap();
    let expected = "\
viptela-policy:policy
 data-policy _vpns_steer
  vpn-list vpns
    sequence 1
     match
      source-data-prefix-list servers
      source-port 8080
      protocol 6
     !
     action accept
      set
       local-tloc-list
        color biz-internet
        encap ipsec
        restrict
       !
      !
     !
    !
    default-action accept
  !
 !
 lists
  data-prefix-list servers
   ip-prefix 10.1.0.5/32
  !
  site-list sites
   site-id 1
  !
  vpn-list vpns
   vpn 10
  !
 !
!
apply-policy
 site-list sites
  data-policy _vpns_steer from-service
 !
!
";
    assert_eq!(preview(policy, store.objects()), expected);
}

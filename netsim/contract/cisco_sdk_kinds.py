"""What the steps of `cisco_sdk.py` make of each kind of list and definition that the SDK has.

A maker gets the Manager, whose `ids` are those of what the steps have made so far, by the SDK's class.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Network

from catalystwan.models.policy import (
    AppList,
    AppProbeClassList,
    ASPathList,
    ClassMapList,
    ColorList,
    CommunityList,
    DataIPv6PrefixList,
    DataPrefixList,
    ExpandedCommunityList,
    FQDNList,
    GeoLocationList,
    IPSSignatureList,
    IPv6PrefixList,
    LocalAppList,
    LocalDomainList,
    MirrorList,
    PolicerList,
    PortList,
    PreferredColorGroupList,
    PrefixList,
    ProtocolNameList,
    RegionList,
    SiteList,
    SLAClassList,
    TLOCList,
    URLAllowList,
    URLBlockList,
    VPNList,
    ZoneList,
)
from catalystwan.models.policy.definitions.access_control_list import AclPolicy
from catalystwan.models.policy.definitions.access_control_list_ipv6 import AclIPv6Policy
from catalystwan.models.policy.definitions.control import ControlPolicy
from catalystwan.models.policy.definitions.device_access import DeviceAccessPolicy
from catalystwan.models.policy.definitions.device_access_ipv6 import DeviceAccessIPv6Policy
from catalystwan.models.policy.definitions.hub_and_spoke import HubAndSpokePolicy
from catalystwan.models.policy.definitions.mesh import MeshPolicy
from catalystwan.models.policy.definitions.qos_map import QoSMapPolicy
from catalystwan.models.policy.definitions.rewrite import RewritePolicy
from catalystwan.models.policy.definitions.rule_set import RuleSet
from catalystwan.models.policy.definitions.security_group import SecurityGroup
from catalystwan.models.policy.definitions.vpn_membership import VPNMembershipPolicy
from catalystwan.models.policy.definitions.zone_based_firewall import ZoneBasedFWPolicy
from catalystwan.models.policy.policy_definition import RuleSetListEntry

NAME = "sdk"

# Lists


def prefixes(m):
    servers = DataPrefixList(name=f"{NAME}-servers")
    servers.add_prefix(IPv4Network("10.1.0.5/32"))
    servers.add_prefix(IPv4Network("10.1.4.0/22"))
    return servers


def prefixes6(m):
    servers = DataIPv6PrefixList(name=f"{NAME}-servers6")
    servers.add_prefix(IPv6Network("fd00:10::5/128"))
    return servers


def sites(m):
    found = SiteList(name=f"{NAME}-sites")
    found.add_sites({100})
    found.add_site_range((200, 300))
    return found


def vpns(m):
    found = VPNList(name=f"{NAME}-vpns")
    found.add_vpns({10})
    return found


def colors(m):
    found = ColorList(name=f"{NAME}-colors")
    found.add_color("mpls")
    found.add_color("biz-internet")
    return found


def tlocs(m):
    found = TLOCList(name=f"{NAME}-tlocs")
    found.add_tloc(IPv4Address("10.255.0.1"), "biz-internet", "ipsec", preference=100)
    found.add_tloc(IPv4Address("10.255.0.2"), "default", "ipsec")
    return found


def probes(m):
    found = AppProbeClassList(name=f"{NAME}-probes")
    found.assign_forwarding_class("voice").add_color_mapping("mpls", 46)
    return found


def probed_class(m):
    found = SLAClassList(name=f"{NAME}-probed")
    found.assign_app_probe_class(m.ids[AppProbeClassList], latency=150, loss=1, jitter=30)
    found.add_fallback_loss_criteria(2)
    found.add_fallback_latency_criteria(20)
    return found


def group(m):
    found = PreferredColorGroupList(name=f"{NAME}-group")
    found.assign_color_groups(({"biz-internet"}, "direct-path"), ({"default", "lte"}, "all-paths"))
    return found


def apps(m):
    found = AppList(name=f"{NAME}-apps")
    found.add_app("amazon")
    found.add_app_family("webmail")
    return found


def policers(m):
    found = PolicerList(name=f"{NAME}-policers")
    found.police(burst=15000, rate=1000000, exceed="drop")
    return found


def written(kind, *entries):
    """A list whose entries the SDK has no methods for, or that edges do not act on."""
    return lambda m: kind(name=f"{NAME}-{kind.__name__}", entries=list(entries))


def classes(m):
    found = ClassMapList(name=f"{NAME}-ClassMapList")
    found.assign_queue(5)
    return found


def communities(kind):
    def make(m):
        found = kind(name=f"{NAME}-{kind.__name__}")
        found.add_well_known_community("no-export")
        found.add_community(1000, 10000)
        return found

    return make


def routes(m):
    found = PrefixList(name=f"{NAME}-PrefixList")
    found.add_prefix(IPv4Network("10.0.0.0/8"))
    found.add_prefix(IPv4Network("10.1.0.0/16"), ge=17, le=32)
    return found


def regions(m):
    found = RegionList(name=f"{NAME}-RegionList")
    found.add_regions({1})
    found.add_region_range((2, 63))
    return found


def zone(m):
    found = ZoneList(name=f"{NAME}-ZoneList")
    found.assign_vpns({10})
    return found


# Those that refer to others come after them.
LISTS = {
    DataPrefixList: prefixes,
    DataIPv6PrefixList: prefixes6,
    SiteList: sites,
    VPNList: vpns,
    ColorList: colors,
    TLOCList: tlocs,
    AppProbeClassList: probes,
    SLAClassList: probed_class,
    PreferredColorGroupList: group,
    AppList: apps,
    PolicerList: policers,
    ASPathList: written(ASPathList, {"asPath": "^65000_[0-9]+"}),
    ClassMapList: classes,
    CommunityList: communities(CommunityList),
    ExpandedCommunityList: communities(ExpandedCommunityList),
    FQDNList: written(FQDNList, {"pattern": "*.example.com"}),
    GeoLocationList: written(GeoLocationList, {"country": "FRA"}, {"continent": "EU"}),
    IPSSignatureList: written(IPSSignatureList, {"generatorId": "1", "signatureId": "2222"}),
    IPv6PrefixList: written(IPv6PrefixList, {"ipv6Prefix": "fd00::/16", "le": "64"}),
    LocalAppList: written(LocalAppList, {"app": "webex"}, {"appFamily": "webmail"}),
    LocalDomainList: written(LocalDomainList, {"nameServer": ".*example.com"}),
    MirrorList: written(MirrorList, {"remoteDest": "10.0.0.9", "source": "10.0.0.1"}),
    PortList: written(PortList, {"port": "80"}, {"port": "65535"}),
    PrefixList: routes,
    ProtocolNameList: written(ProtocolNameList, {"protocolName": "https"}),
    RegionList: regions,
    URLAllowList: written(URLAllowList, {"pattern": "www.example.com"}),
    URLBlockList: written(URLBlockList, {"pattern": ".*bad.*"}),
    ZoneList: zone,
}


# Definitions that edges do not carry out


def access_list(m):
    policy = AclPolicy(name=f"{NAME}-acl")
    marked = policy.add_acl_sequence()
    marked.match_source_data_prefix_list(m.ids[DataPrefixList])
    marked.match_destination_port({443})
    marked.match_class_map_list_entry(m.ids[ClassMapList])
    marked.associate_class_map_list_action(m.ids[ClassMapList])
    marked.associate_mirror_action(m.ids[MirrorList])
    marked.associate_policer_list_action(m.ids[PolicerList])
    marked.associate_dscp_action(46)
    return policy


def access_list6(m):
    policy = AclIPv6Policy(name=f"{NAME}-aclv6")
    counted = policy.add_acl_sequence()
    counted.match_destination_data_prefix_list(m.ids[DataIPv6PrefixList])
    counted.match_next_header(6)
    counted.associate_policer_list_action(m.ids[PolicerList])
    counted.associate_count_action("sdk_acl")
    return policy


def device_access(m):
    policy = DeviceAccessPolicy(name=f"{NAME}-access")
    shell = policy.add_acl_sequence(device_access_protocol=22)
    shell.match_source_data_prefix_list(m.ids[DataPrefixList])
    return policy


def device_access6(m):
    policy = DeviceAccessIPv6Policy(name=f"{NAME}-accessv6")
    shell = policy.add_acl_sequence(device_access_protocol=161)
    shell.match_source_data_prefix_list(m.ids[DataIPv6PrefixList])
    return policy


def control(m):
    policy = ControlPolicy(name=f"{NAME}-control")
    route = policy.add_route_sequence(base_action="accept")
    route.match_color_list(m.ids[ColorList])
    route.match_community_list(m.ids[CommunityList])
    route.match_expanded_community_list(m.ids[ExpandedCommunityList])
    route.match_prefix_list(m.ids[PrefixList])
    route.match_region_list(m.ids[RegionList])
    route.match_vpn_list(m.ids[VPNList])
    route.associate_community_action("1000:10000", additive=True)
    route.associate_service_action("FW", 10, tloc_list_id=m.ids[TLOCList])
    route.associate_export_to_action(m.ids[VPNList])
    tloc = policy.add_tloc_sequence()
    tloc.match_site_list(m.ids[SiteList])
    tloc.match_tloc_list(m.ids[TLOCList])
    return policy


def hub_and_spoke(m):
    policy = HubAndSpokePolicy.from_vpn_list(f"{NAME}-star", m.ids[VPNList])
    star = policy.add_hub_and_spoke("star", [m.ids[SiteList]], [m.ids[SiteList]], m.ids[TLOCList])
    star.spokes[0].hubs[0].prefix_lists.append(m.ids[PrefixList])
    star.spokes[0].hubs[0].ipv6_prefix_lists.append(m.ids[IPv6PrefixList])
    return policy


def mesh(m):
    policy = MeshPolicy.from_vpn_list(f"{NAME}-mesh", m.ids[VPNList])
    policy.add_region("west", [m.ids[SiteList]])
    return policy


def membership(m):
    policy = VPNMembershipPolicy(name=f"{NAME}-membership")
    policy.add_site(m.ids[SiteList], [m.ids[VPNList]])
    return policy


def queues(m):
    policy = QoSMapPolicy(name=f"{NAME}-queues")
    policy.add_scheduler(5, m.ids[ClassMapList], bandwidth=10, buffer=10)
    return policy


def rewriting(m):
    policy = RewritePolicy(name=f"{NAME}-rewrite")
    policy.add_rule(m.ids[ClassMapList], dscp=46, l2cos=5, plp="low")
    return policy


def rules(m):
    found = RuleSet(name=f"{NAME}-rules")
    found.add_ipv4_rule(
        source_data_prefix_list_id=m.ids[DataPrefixList],
        source_fqdn_list_id=m.ids[FQDNList],
        destination_geo_location_list_id=m.ids[GeoLocationList],
        destination_port_list_id=m.ids[PortList],
        protocol_name_list_id=m.ids[ProtocolNameList],
    )
    found.add_ipv4_rule(source_security_group_id=m.ids[SecurityGroup])
    return found


def firewall(m):
    policy = ZoneBasedFWPolicy(name=f"{NAME}-firewall")
    inspected = policy.add_ipv4_rule("inspected", base_action="inspect", log=True)
    inspected.match_app_list(m.ids[LocalAppList])
    inspected.match_source_fqdn_list(m.ids[FQDNList])
    inspected.match_source_geo_location_list(m.ids[GeoLocationList])
    inspected.match_destination_port_list(m.ids[PortList])
    ruled = policy.add_ipv4_rule_sets("ruled")
    # The SDK's own method puts a space after each letter of the id.
    ruled.match.entries.append(RuleSetListEntry(ref=str(m.ids[RuleSet])))
    policy.add_zone_pair("self", m.ids[ZoneList])
    return policy


# Those that refer to others come after them.
DEFINITIONS = {
    AclPolicy: access_list,
    AclIPv6Policy: access_list6,
    ControlPolicy: control,
    DeviceAccessPolicy: device_access,
    DeviceAccessIPv6Policy: device_access6,
    HubAndSpokePolicy: hub_and_spoke,
    MeshPolicy: mesh,
    QoSMapPolicy: queues,
    RewritePolicy: rewriting,
    RuleSet: rules,
    VPNMembershipPolicy: membership,
    ZoneBasedFWPolicy: firewall,
}

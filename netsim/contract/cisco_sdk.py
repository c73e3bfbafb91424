"""The Manager as Cisco's Python SDK, catalystwan, sees it.

`cargo xtask catalystwan` runs it against a Manager of its own. stdin is the line that `pathproof manager --json` prints;
stdout is a table of the steps. Exit code: 0 when no step failed, 1 otherwise. A step that cannot be taken, because an
earlier one failed or because the Manager has no such resource, is counted as skipped, with the reason.
"""

import json
import sys
import time
from ipaddress import IPv4Address, IPv4Network, IPv6Network

import requests
from catalystwan.api.policy_api import POLICY_DEFINITION_ENDPOINTS_MAP, POLICY_LIST_ENDPOINTS_MAP
from catalystwan.api.task_status_api import Task
from catalystwan.endpoints.configuration.policy.vsmart_template import ConfigurationVSmartTemplatePolicy
from catalystwan.exceptions import ManagerHTTPError
from catalystwan.models.policy import (
    AppList,
    AppProbeClassList,
    CentralizedPolicy,
    ColorList,
    DataIPv6PrefixList,
    DataPrefixList,
    PreferredColorGroupList,
    SiteList,
    SLAClassList,
    TLOCList,
    TrafficDataPolicy,
    VPNList,
)
from catalystwan.models.policy.centralized import CentralizedPolicyEditPayload
from catalystwan.models.policy.lists_entries import SLAClassListEntry
from catalystwan.models.policy.policy_definition import DefaultAction
from catalystwan.session import ManagerSession
from catalystwan.utils.personality import Personality
from catalystwan.vmanage_auth import UnauthorizedAccessError, create_vmanage_auth

API = "/dataservice"
APP_ROUTE = f"{API}/template/policy/definition/approute"
NAME = "sdk"


class Skip(Exception):
    """A step that cannot be taken."""


def expect(holds, what):
    if not holds:
        raise AssertionError(what)


def equal(found, expected, what):
    expect(found == expected, f"{what}: {found!r}, expected {expected!r}")


def refused(status, work, *words):
    """`work` is refused with an HTTP status, and the error names every one of the words."""
    try:
        work()
    except ManagerHTTPError as error:
        equal(error.response.status_code, status, "status")
        text = str(error.info)
        for word in words:
            expect(word in text, f"`{word}` is not in {text}")
    else:
        raise AssertionError("it was not refused")


STEPS = []


def step(name, *needs, optional=False):
    """Registers a step. `needs` are functions of earlier steps. `optional`: a 404 means that the resource is not there."""

    def register(work):
        STEPS.append((name, needs, optional, work))
        return work

    return register


def run(manager):
    """Takes every step and returns rows of (outcome, name, detail, milliseconds)."""
    done, rows = set(), []
    names = {work: name for name, _, _, work in STEPS}
    for name, needs, optional, work in STEPS:
        missing = [names[need] for need in needs if need not in done]
        start = time.monotonic()
        try:
            if missing:
                raise Skip(f"needs: {', '.join(missing)}")
            detail = work(manager) or ""
            outcome = "PASS"
            done.add(work)
        except Skip as reason:
            outcome, detail = "SKIP", str(reason)
        except ManagerHTTPError as error:
            absent = optional and error.response.status_code == 404
            outcome = "SKIP" if absent else "FAIL"
            detail = f"{error.request.method} {error.request.path_url}: {error.response.status_code}"
            if not absent:
                detail += f" {error.response.text}"
        except Exception as error:  # noqa: BLE001: a step may fail in any way, and the next ones still count
            outcome, detail = "FAIL", f"{type(error).__name__}: {error}"
        rows.append((outcome, name, detail, (time.monotonic() - start) * 1000))
    return rows


class Manager:
    """Where it is, and what the steps have made so far."""

    def __init__(self, line):
        self.url, self.ca = line["url"], line["ca"]
        self.username, self.password = line["username"], line["password"]
        self.sites = line["sites"]
        self.session = None
        self.ids = {}
        self.edges = []

    def open(self, password):
        auth = create_vmanage_auth(self.username, password, verify=self.ca)
        session = ManagerSession(base_url=self.url, auth=auth, verify=self.ca)
        session.request_timeout = 10
        return session.login()

    @property
    def policy(self):
        return self.session.api.policy

    @property
    def vsmart(self):
        return ConfigurationVSmartTemplatePolicy(self.session)

    def finish(self, task):
        result = task.wait_for_completed(timeout_seconds=20, interval_seconds=0.05)
        expect(result.result, f"the task failed: {result.sub_tasks_data}")
        return result

    def central(self):
        found = [row for row in self.policy.centralized.get() if row.policy_id == self.ids["policy"]]
        equal(len(found), 1, "policies of that id")
        return found[0]


# Sessions


@step("a wrong password is refused")
def wrong_password(m):
    try:
        m.open("not the password")
    except UnauthorizedAccessError:
        return None
    raise AssertionError("it was accepted")


@step("log in")
def log_in(m):
    m.session = m.open(m.password)
    equal(m.session.session_type.name, "SINGLE_TENANT", "session type")
    return f"release {m.session.api_version}"


@step("about", log_in)
def about(m):
    equal(m.session.about().version, m.session.platform_version, "version")


@step("the server is ready before anybody logs in", log_in)
def server_ready(m):
    m.session.wait_server_ready(timeout=1, poll_period=1)


# Devices


@step("devices", log_in)
def devices(m):
    rows = m.session.endpoints.monitoring_device_details.list_all_devices()
    m.edges = [row for row in rows if row.personality in (Personality.EDGE, Personality.EDGE.value)]
    equal(len(m.edges), m.sites, "WAN edges")
    for row in rows:
        equal(str(row.reachability), "reachable", f"reachability of {row.host_name}")
    return f"{len(rows)}, {len(m.edges)} of them WAN edges"


@step("devices with their system information", log_in)
def system_information(m):
    found = m.session.api.devices.get(include_inventory=False)
    edges = [device for device in found if device.personality is Personality.EDGE]
    equal(len(edges), m.sites, "WAN edges")
    expect(all(device.is_reachable for device in found), "a device is not reachable")
    equal(m.session.api.devices.count_devices(Personality.VSMART), 1, "Controllers")


@step("reachable WAN edges", log_in)
def reachable(m):
    equal(len(m.session.api.devices.get_reachable_devices(Personality.EDGE)), m.sites, "WAN edges")


@step("BFD sessions of every edge", devices)
def bfd(m):
    total = 0
    for edge in m.edges:
        sessions = m.session.api.device_state.get_bfd_sessions(edge.device_id)
        expect(sessions, f"{edge.host_name} has no session")
        for session in sessions:
            equal(session.state, "up", f"session of {edge.host_name}")
        m.session.api.device_state.wait_for_bfd_session_up(edge.device_id, sleep_seconds=1, timeout_seconds=5)
        total += len(sessions)
    return f"{total} sessions"


@step("real-time app-route statistics", devices)
def app_route_statistics(m):
    rows = m.session.get_data(f"{API}/device/app-route/statistics?deviceId={m.edges[0].device_id}")
    expect(rows, "no tunnel")
    for row in rows:
        for key in ("remote-system-ip", "local-color", "mean-loss", "mean-latency", "mean-jitter"):
            expect(key in row, f"{key} is not in {row}")
    return f"{len(rows)} tunnels"


@step("tunnel statistics", devices)
def tunnel_statistics(m):
    rows = m.session.get_data(f"{API}/device/tunnel/statistics?deviceId={m.edges[0].device_id}")
    return f"{len(rows)} tunnels"


@step("historic app-route statistics", devices, optional=True)
def historic_statistics(m):
    rule = {"value": ["1"], "field": "entry_time", "type": "date", "operator": "last_n_hours"}
    query = {"query": {"condition": "AND", "rules": [rule]}, "size": 100}
    answer = m.session.post(f"{API}/statistics/approute", json=query).json()
    expect(isinstance(answer.get("data"), list), f"no data in {answer}")
    return f"{len(answer['data'])} rows"


@step("Controllers can be reached", log_in)
def controllers(m):
    statuses = m.policy.centralized.check_vsmart_connectivity()
    expect(len(statuses) >= 1 and all(status.is_online for status in statuses), f"{statuses}")
    equal({status.operation_mode for status in statuses}, {"vmanage"}, "operation mode")


@step("OMP summary", devices, optional=True)
def omp(m):
    m.session.api.omp.get_omp_summary(m.edges[0].device_id)


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
}


def same(found, sent, what):
    """What the Manager gives back says what was sent."""
    for key, value in sent.model_dump(by_alias=True, exclude_none=True, mode="json").items():
        back = found.model_dump(by_alias=True, exclude_none=True, mode="json").get(key)
        equal(back, value, f"{key} of {what}")


def list_steps(kind, make):
    kind_name = kind.__name__

    @step(f"create {kind_name}", log_in)
    def create(m):
        m.ids[kind] = m.policy.lists.create(make(m))

    @step(f"read {kind_name}", create)
    def read(m):
        found = m.policy.lists.get(kind, m.ids[kind])
        same(found, make(m), kind_name)
        equal(found.reference_count, 0, "references")
        rows = [row for row in m.policy.lists.get(kind) if row.list_id == m.ids[kind]]
        equal(len(rows), 1, "rows of that id")
        same(rows[0], make(m), f"row of {kind_name}")

    @step(f"edit {kind_name}", create)
    def edit(m):
        edited = make(m)
        edited.description = "edited"
        m.policy.lists.edit(m.ids[kind], edited)
        equal(m.policy.lists.get(kind, m.ids[kind]).description, "edited", "description")

    return create


CREATED = {kind: list_steps(kind, make) for kind, make in LISTS.items()}


@step("create SLAClassList without an app-probe class", log_in)
def plain_class(m):
    entry = SLAClassListEntry(latency="100", loss="1", app_probe_class=None)
    m.ids["class"] = m.policy.lists.create(SLAClassList(name=f"{NAME}-class", entries=[entry]))


@step("a name that is taken is refused", CREATED[SiteList])
def taken(m):
    refused(400, lambda: m.policy.lists.create(sites(m)), f"{NAME}-sites")


@step("the other kinds of lists")
def other_lists(m):
    others = sorted(kind.__name__ for kind in POLICY_LIST_ENDPOINTS_MAP if kind not in LISTS)
    raise Skip(f"not emulated: {len(others)} ({', '.join(others)})")


# Definitions


def data_policy(m):
    policy = TrafficDataPolicy(name=f"{NAME}-data", default_action=DefaultAction(type="accept"))
    strict = policy.add_ipv4_sequence("strict", base_action="accept")
    strict.match_source_data_prefix_list(m.ids[DataPrefixList])
    strict.match_source_port({8080}, [(9000, 9010)])
    strict.match_protocols({6, 17})
    strict.associate_local_tloc_action("biz-internet", "ipsec", restrict=True)
    strict.associate_count_action("sdk_strict")
    grouped = policy.add_ipv4_sequence("group", base_action="accept")
    grouped.match_destination_ip([IPv4Network("10.2.0.0/16")])
    grouped.match_dscp(46)
    grouped.associate_preffered_color_group(m.ids[PreferredColorGroupList], restrict=True)
    remote = policy.add_ipv4_sequence("remote", base_action="accept")
    remote.match_destination_data_prefix_list(m.ids[DataPrefixList])
    remote.match_destination_port({443})
    remote.associate_tloc_action(tloc_list_id=m.ids[TLOCList])
    one = policy.add_ipv4_sequence("one", base_action="accept")
    one.match_source_ip([IPv4Network("10.1.9.0/24")])
    one.associate_tloc_action(ip=IPv4Address("10.255.0.2"), color="default", encap="ipsec")
    marked = policy.add_ipv4_sequence("drop", base_action="drop")
    marked.match_destination_ip([IPv4Network("10.66.0.0/16")])
    marked.associate_log_action()
    return policy


DATA_NEEDS = [CREATED[kind] for kind in (DataPrefixList, PreferredColorGroupList, TLOCList)]


@step("create a data definition", *DATA_NEEDS)
def create_data(m):
    m.ids["data"] = m.policy.definitions.create(data_policy(m))


@step("read the data definition", create_data)
def read_data(m):
    found = m.policy.definitions.get(TrafficDataPolicy, m.ids["data"])
    sent = data_policy(m)
    equal(found.name, sent.name, "name")
    equal(found.default_action.type, "accept", "default action")
    dump = {"by_alias": True, "exclude_none": True, "mode": "json"}
    equal(
        [sequence.model_dump(**dump) for sequence in found.sequences],
        [sequence.model_dump(**dump) for sequence in sent.sequences],
        "sequences",
    )
    rows = [row for row in m.policy.definitions.get(TrafficDataPolicy) if row.definition_id == m.ids["data"]]
    equal(len(rows), 1, "rows of that id")
    expect(m.policy.lists.get(DataPrefixList, m.ids[DataPrefixList]).reference_count > 0, "its list has no reference")


@step("edit the data definition", create_data)
def edit_data(m):
    edited = data_policy(m)
    edited.description = "edited"
    m.policy.definitions.edit(m.ids["data"], edited)
    equal(m.policy.definitions.get(TrafficDataPolicy, m.ids["data"]).description, "edited", "description")


@step("preview the data definition", create_data, optional=True)
def preview_data(m):
    definitions = m.session.endpoints.configuration.policy.definition.data
    text = definitions.preview_policy_definition_by_id(m.ids["data"]).preview
    expect(f"{NAME}-data" in text, text)


@step("create an app-route definition (the SDK has no model of it)", plain_class, CREATED[DataPrefixList])
def create_app_route(m):
    sequence = {
        "sequenceId": 1,
        "sequenceName": "class",
        "sequenceType": "appRoute",
        "sequenceIpType": "ipv4",
        "match": {"entries": [{"field": "destinationDataPrefixList", "ref": str(m.ids[DataPrefixList])}]},
        "actions": [
            {
                "type": "slaClass",
                "parameter": [
                    {"field": "name", "ref": str(m.ids["class"])},
                    {"field": "preferredColor", "value": "biz-internet"},
                ],
            },
            {"type": "backupSlaPreferredColor", "parameter": "default"},
            {"type": "count", "parameter": "sdk_class"},
        ],
    }
    body = {"name": f"{NAME}-approute", "type": "appRoute", "description": "x", "sequences": [sequence]}
    m.ids["approute"] = m.session.post(APP_ROUTE, json=body).json()["definitionId"]
    found = m.session.get_json(f"{APP_ROUTE}/{m.ids['approute']}")
    equal(found["sequences"], [sequence], "sequences")


@step("the other kinds of definitions")
def other_definitions(m):
    others = sorted(kind.__name__ for kind in POLICY_DEFINITION_ENDPOINTS_MAP if kind is not TrafficDataPolicy)
    raise Skip(f"not emulated: {len(others)} ({', '.join(others)})")


# The centralized policy


@step("create a centralized policy", create_data, CREATED[SiteList], CREATED[VPNList])
def create_policy(m):
    policy = CentralizedPolicy(policy_name=f"{NAME}-central")
    item = policy.add_traffic_data_policy(m.ids["data"])
    item.assign_to([m.ids[VPNList]], "service", site_lists=[m.ids[SiteList]])
    m.ids["policy"] = m.policy.centralized.create(policy)


@step("read the centralized policy", create_policy)
def read_policy(m):
    row = m.central()
    equal(row.policy_name, f"{NAME}-central", "name")
    equal(row.is_policy_activated, False, "activation")
    (item,) = row.policy_definition.assembly
    equal(item.definition_id, m.ids["data"], "definition")
    equal(item.entries[0].site_lists, [m.ids[SiteList]], "site lists")
    equal(m.policy.centralized.get(m.ids["policy"]).policy_name, f"{NAME}-central", "name by id")


@step("preview the centralized policy", create_policy)
def preview_policy(m):
    text = m.session.get_json(f"{API}/template/policy/assembly/vsmart/{m.ids['policy']}")["preview"]
    for name in (f"{NAME}-sites", f"{NAME}-servers", "10.1.0.5/32"):
        expect(name in text, f"{name} is not in {text}")


@step("a definition in use cannot be deleted", create_policy)
def definition_in_use(m):
    refused(400, lambda: m.policy.definitions.delete(TrafficDataPolicy, m.ids["data"]))


@step("activate, and wait_for_completed", create_policy)
def activate(m):
    m.finish(m.policy.centralized.activate(m.ids["policy"]))
    equal(m.central().is_policy_activated, True, "activation")
    expect(m.policy.lists.get(SiteList, m.ids[SiteList]).is_activated_by_vsmart, "its list is not marked as active")


@step("no task runs any more", activate)
def no_task(m):
    equal(m.session.get_json(f"{API}/device/action/status/tasks")["runningTasks"], [], "running tasks")


@step("edit a list of the active policy, and push it", activate)
def edit_active_list(m):
    edited = prefixes(m)
    edited.add_prefix(IPv4Network("10.1.0.6/32"))
    m.policy.lists.edit(m.ids[DataPrefixList], edited)
    task = m.vsmart.activate_policy(m.ids["policy"], payload={"isEdited": True}).id
    m.finish(Task(m.session, task))
    same(m.policy.lists.get(DataPrefixList, m.ids[DataPrefixList]), edited, "the list")


def edit_payload(row):
    return CentralizedPolicyEditPayload(
        policy_id=row.policy_id,
        policy_name=row.policy_name,
        policy_description="edited",
        policy_type="feature",
        policy_definition=row.policy_definition,
        is_policy_activated=row.is_policy_activated,
        rid=row.rid,
    )


@step("a policy that applies a definition nowhere is refused", activate)
def applied_nowhere(m):
    # The SDK's model of an edit leaves the entries of assemblies out.
    sent = json.loads(edit_payload(m.central()).model_dump_json(by_alias=True, exclude_none=True))
    if "entries" in sent["policyDefinition"]["assembly"][0]:
        raise Skip("this SDK sends the entries")
    refused(400, lambda: m.policy.centralized.edit(edit_payload(m.central())), "entries")


@step("edit the active policy itself, and push it by processId", activate, create_app_route)
def edit_active_policy(m):
    policies = f"{API}/template/policy/vsmart"
    row = next(row for row in m.session.get_data(policies) if row["policyId"] == str(m.ids["policy"]))
    definition = json.loads(row["policyDefinition"])
    entry = {"siteLists": [str(m.ids[SiteList])], "vpnLists": [str(m.ids[VPNList])]}
    definition["assembly"].append({"definitionId": m.ids["approute"], "type": "appRoute", "entries": [entry]})
    edited = m.session.put(f"{policies}/{m.ids['policy']}", json={**row, "policyDefinition": definition}).json()
    expect(edited["masterTemplatesAffected"], f"no template is affected: {edited}")
    task = m.vsmart.activate_policy(m.ids["policy"], payload={"isEdited": True, "processId": edited["processId"]}).id
    m.finish(Task(m.session, task))
    equal(len(m.central().policy_definition.assembly), 2, "definitions")


@step("counters of the policy in force", edit_active_policy, devices)
def counters(m):
    edge = m.edges[0].device_id
    data = m.session.get_data(f"{API}/device/policy/datapolicyfilter?deviceId={edge}")
    expect(any("sdk_strict" in json.dumps(row) for row in data), f"no counter of the definition in {data}")
    routed = m.session.get_data(f"{API}/device/policy/approutepolicyfilter?deviceId={edge}")
    expect(any("sdk_class" in json.dumps(row) for row in routed), f"no counter of the definition in {routed}")
    classes = m.session.get_data(f"{API}/device/app-route/sla-class?deviceId={edge}")
    expect(any(f"{NAME}-class" in json.dumps(row) for row in classes), f"no class in {classes}")


@step("an active policy cannot be deleted", activate)
def active_stays(m):
    refused(400, lambda: m.policy.centralized.delete(m.ids["policy"]))


@step("device templates", log_in, optional=True)
def templates(m):
    rows = m.session.get_data(f"{API}/template/device?feature=all")
    return f"{len(rows)}"


@step("feature profiles of UX 2.0", log_in, optional=True)
def profiles(m):
    found = m.session.get_json(f"{API}/v1/feature-profile/sdwan/policy-object")
    return f"{len(found)}"


# Everything goes


@step("deactivate, and wait_for_completed", activate)
def deactivate(m):
    m.finish(m.policy.centralized.deactivate(m.ids["policy"]))
    equal(m.central().is_policy_activated, False, "activation")


@step("delete the policy", deactivate)
def delete_policy(m):
    m.policy.centralized.delete(m.ids["policy"])
    equal(len(m.policy.centralized.get()), 0, "policies")


@step("delete the definitions", delete_policy)
def delete_definitions(m):
    m.policy.definitions.delete(TrafficDataPolicy, m.ids["data"])
    equal(len(m.policy.definitions.get(TrafficDataPolicy)), 0, "data definitions")
    if "approute" in m.ids:
        m.session.delete(f"{APP_ROUTE}/{m.ids['approute']}")
        equal(m.session.get_data(APP_ROUTE), [], "app-route definitions")


@step("a list that is referred to cannot be deleted", CREATED[SLAClassList])
def list_in_use(m):
    refused(400, lambda: m.policy.lists.delete(AppProbeClassList, m.ids[AppProbeClassList]))


@step("delete the lists", delete_definitions)
def delete_lists(m):
    if "class" in m.ids:
        m.policy.lists.delete(SLAClassList, m.ids["class"])
    # Those that refer to others go first.
    for kind in reversed(list(LISTS)):
        if kind in m.ids:
            m.policy.lists.delete(kind, m.ids[kind])
    for kind in LISTS:
        equal(len(m.policy.lists.get(kind)), 0, kind.__name__)


@step("log out", log_in)
def log_out(m):
    used = m.session.auth.cookies.copy()
    m.session.close()
    answer = requests.get(f"{m.url}{API}/device", cookies=used, verify=m.ca, timeout=10)
    expect("<html" in answer.text, f"the session goes on: {answer.text}")


def main():
    rows = run(Manager(json.loads(sys.stdin.readline())))
    width = max(len(name) for _, name, _, _ in rows)
    for outcome, name, detail, milliseconds in rows:
        print(f"{outcome}  {milliseconds:7.1f} ms  {name:{width}}  {detail}".rstrip())
    count = {outcome: sum(row[0] == outcome for row in rows) for outcome in ("PASS", "FAIL", "SKIP")}
    print(f"{len(rows)} steps: {count['PASS']} passed, {count['FAIL']} failed, {count['SKIP']} skipped")
    return 1 if count["FAIL"] or not count["PASS"] else 0


if __name__ == "__main__":
    sys.exit(main())

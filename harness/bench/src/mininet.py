"""One switch and 100 hosts in mininet: seconds to build, to ping all pairs, to stop."""

import time

from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.nodelib import LinuxBridge
from mininet.topo import SingleSwitchTopo

setLogLevel("critical")
start = time.monotonic()
net = Mininet(topo=SingleSwitchTopo(100), switch=LinuxBridge, controller=None)
net.start()
built = time.monotonic()
net.pingAll(timeout="1")
pinged = time.monotonic()
net.stop()
stopped = time.monotonic()
print(built - start, pinged - built, stopped - pinged)

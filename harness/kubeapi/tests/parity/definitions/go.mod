module definitions

go 1.26.0

require (
	github.com/cilium/cilium v1.20.2
	sigs.k8s.io/mcs-api v0.5.2
)

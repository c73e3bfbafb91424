# Thin recipes; each works as the cargo command in it, too. `just` lists them.

_default:
    @just --list

# The core conformance profile on the embedded lab.
e2e *FLAGS:
    cargo e2e {{ FLAGS }}

# All tests.
test *FLAGS:
    cargo test {{ FLAGS }}

# The fabric's tests on Debian's cloud kernel under QEMU, which has all encapsulations: just test-kernel wireguard
test-kernel *WORDS:
    cargo xtask test-kernel {{ WORDS }}

# Cisco's Python SDK against the Manager emulation.
catalystwan *WORDS:
    cargo xtask catalystwan {{ WORDS }}

# The API cases against kubeapi and against the real kube-apiserver, which Go builds.
api-parity *WORDS:
    cargo xtask api-parity --install {{ WORDS }}

# A Manager by itself, for clients of its REST API: just manager --dry
manager *WORDS:
    cargo xtask pathproof manager {{ WORDS }}

# What CI runs.
check:
    bash .ci/run

# One scenario, for instance: just run scenarios/core/demo.yaml --sabotage swap-tunnels
run *WORDS:
    cargo xtask pathproof run {{ WORDS }}

# The demo N times in a row: how often it passed, and p50/p99 of convergence.
repeat N="50":
    cargo xtask pathproof run scenarios/core/demo.yaml --repeat {{ N }}

# What the fabric costs, each figure beside its baseline, for instance: just bench capture --json
bench *WORDS:
    cargo run --release --quiet --package pathproof-bench -- fabric {{ WORDS }}

# A lab that stays up until Ctrl-C, with a kubeconfig for kubectl.
lab SCENARIO="scenarios/core/demo.yaml":
    cargo xtask pathproof lab up {{ SCENARIO }}

# Rewrites golden files; read the diff.
bless:
    BLESS=1 INSTA_UPDATE=always cargo test

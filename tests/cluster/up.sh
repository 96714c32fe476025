#!/bin/bash
# Starts a Kubernetes of one node: tests/cluster/up.sh. Needs root and what build.sh has built, and from
# Debian: runc containernetworking-plugins iptables conntrack iproute2 openssl.
#
# It lives in network, mount, PID, UTS and IPC namespaces of its own, below one process that down.sh
# ends. No packet leaves them and nothing of the machine is changed; from outside, one sees only the
# control groups named onenode. PROXY_MODE is iptables or nftables.
set -euo pipefail
cd "$(dirname "$0")/../.."
script=$PWD/tests/cluster/up.sh
cluster=$(realpath -m "${CLUSTER:-build/cluster}")
state=$cluster/state

node=onenode
node_address=10.250.0.1
api_address=10.96.0.1
services=10.96.0.0/16
pods=10.244.0.0/24
namespace=apps # that of the commands which name none; it is "restricted"
plugins=${CNI_BIN:-/usr/lib/cni}

# ---- outside ---------------------------------------------------------------------------------------

control_groups() { # one parent in each hierarchy, so that the kubelet touches nothing else
    local h group
    for h in /sys/fs/cgroup/*/; do
        [ -e "${h}cgroup.procs" ] || continue
        group=${h}onenode
        mkdir -p "$group"
        if [ -e "$group/cpuset.cpus" ]; then
            cat "${h}cpuset.cpus" >"$group/cpuset.cpus"
            cat "${h}cpuset.mems" >"$group/cpuset.mems"
        fi
        [ ! -e "$group/memory.use_hierarchy" ] || echo 1 >"$group/memory.use_hierarchy" 2>/dev/null || true
    done
}

outside() {
    local outer init
    if [ -e "$state/init.pid" ] && kill -0 "$(cat "$state/init.pid")" 2>/dev/null; then
        echo 'up.sh: it is running already' >&2
        exit 1
    fi
    rm -rf "$state"
    mkdir -p "$state/log"
    control_groups
    setsid unshare --net --mount --pid --uts --ipc --fork --kill-child \
        "$script" inside </dev/null >"$state/log/up.log" 2>&1 &
    outer=$!
    for _ in {1..40}; do
        init=$(cat "/proc/$outer/task/$outer/children" 2>/dev/null || true)
        [ -z "$init" ] || break
        sleep 0.05
    done
    echo "${init%% *}" >"$state/init.pid" # as it is seen from outside
    for _ in {1..480}; do
        [ ! -e "$state/ready" ] || break
        [ ! -e "$state/failed" ] || break
        sleep 0.25
    done
    [ -e "$state/ready" ] || {
        echo "up.sh: it did not start: see $state/log" >&2
        tail -n 20 "$state/log/up.log" >&2
        exit 1
    }
    cat "$state/ready"
}

# ---- inside: what the machine looks like -----------------------------------------------------------

hide() { # FILE CONTENT: others see the file as it is
    local copy
    copy=$state/hidden/$(basename "$1")
    mkdir -p "$state/hidden"
    printf '%s' "$2" >"$copy"
    mount --bind "$copy" "$(readlink -f "$1")"
}

file_system() {
    local folder
    mount --make-rprivate /
    mount -t proc proc /proc
    mount --make-rshared /
    hide /etc/resolv.conf '' # there is no name server
    hide /etc/hosts "127.0.0.1 localhost
$node_address $node
"
    for folder in /run /var/lib /var/log; do # the programs have fixed paths there
        mount -t tmpfs -o mode=755 tmpfs $folder
    done
    mkdir -p /run/netns /run/lock /var/lib/kubelet
    mkdir -p "$state"/{containerd,kubelet,pods,etcd,keys,cni}
    mount --bind "$state/kubelet" /var/lib/kubelet
    mount --make-rshared /var/lib/kubelet
    hostname $node
    # A kubelet sets these for the whole machine. It finds that they are set.
    hide /proc/sys/vm/overcommit_memory 1
    hide /proc/sys/vm/panic_on_oom 0
    hide /proc/sys/kernel/panic 10
    hide /proc/sys/kernel/panic_on_oops 1
    hide /proc/sys/kernel/keys/root_maxkeys 1000000
    hide /proc/sys/kernel/keys/root_maxbytes 25000000
}

network() { # a default route, so that Services have one; what no rule takes ends at the pair's other end
    ip link set lo up
    ip link add node0 type veth peer name node1
    ip address add $node_address/32 dev node0
    ip link set node0 up
    ip link set node1 up
    ip route add default dev node0
    sysctl -qw net.ipv4.ip_forward=1
}

# ---- inside: keys and settings ---------------------------------------------------------------------

key() { # NAME SUBJECT [ALTERNATIVE-NAMES]
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" -keyout "$1.key" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -out "$1.crt" \
        -extfile <(echo "subjectAltName=${3:-DNS:$1}" && echo extendedKeyUsage=serverAuth,clientAuth)
}

keys() (
    exec 2>/dev/null
    cd "$state/keys"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=onenode-ca \
        -keyout ca.key -out ca.crt
    openssl genrsa -out accounts.key 2048
    key apiserver /CN=kube-apiserver \
        "IP:127.0.0.1,IP:$api_address,IP:$node_address,DNS:kubernetes.default.svc"
    key admin /O=system:masters/CN=admin
    key controller-manager /CN=system:kube-controller-manager
    key scheduler /CN=system:kube-scheduler
    key proxy /CN=system:kube-proxy
    key node "/O=system:nodes/CN=system:node:$node"
    key aggregator /CN=aggregator
)

kubeconfig() { # NAME
    cat >"$state/$1.kubeconfig" <<YAML
apiVersion: v1
kind: Config
current-context: it
clusters: [{name: it, cluster: {server: "https://127.0.0.1:6443", certificate-authority: "$state/keys/ca.crt"}}]
users: [{name: it, user: {client-certificate: "$state/keys/$1.crt", client-key: "$state/keys/$1.key"}}]
contexts: [{name: it, context: {cluster: it, user: it, namespace: $namespace}}]
YAML
}

settings() {
    local name
    for name in admin controller-manager scheduler proxy node; do
        kubeconfig $name
    done
    cat >"$state/cni/10-pods.conflist" <<JSON
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "ptp", "ipMasq": false, "mtu": 1500,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$pods"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
    # A machine without CAP_SYS_RESOURCE needs restrict_oom_score_adj.
    cat >"$state/containerd.toml" <<TOML
version = 3
root = "$state/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
address = "/run/containerd/containerd.sock"
[plugins.'io.containerd.cri.v1.images']
snapshotter = "overlayfs"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "localhost/pause:1"
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.containerd]
default_runtime_name = "runc"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false
BinaryName = "runc"
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["$plugins"]
conf_dir = "$state/cni"
TOML
    cat >"$state/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: "$state/keys/ca.crt"}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: /onenode
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
resolvConf: "$state/hidden/resolv.conf"
podLogsDir: "$state/pods"
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {nodefs.available: "1%", imagefs.available: "1%", nodefs.inodesFree: "1%", memory.available: 100Mi}
volumePluginDir: "$state/kubelet/volume-plugins"
maxPods: 60
syncFrequency: 10s
YAML
    cat >"$state/proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ${PROXY_MODE:-iptables}
clientConnection: {kubeconfig: "$state/proxy.kubeconfig"}
clusterCIDR: $pods
hostnameOverride: $node
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
YAML
}

# ---- inside: the programs --------------------------------------------------------------------------

start() { # NAME ARGUMENT...
    local name=$1
    shift
    "$cluster/bin/$name" "$@" >"$state/log/$name.log" 2>&1 &
}

wait_for() { # SECONDS COMMAND...
    local tries=$(($1 * 4))
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || {
            echo "waited in vain for: $*"
            touch "$state/failed"
            exit 1
        }
        sleep 0.25
    done
}

control_plane() {
    start etcd --data-dir "$state/etcd" --name $node --unsafe-no-fsync --log-level warn \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
        --initial-cluster $node=http://127.0.0.1:2380
    start kube-apiserver --etcd-servers http://127.0.0.1:2379 --secure-port 6443 --bind-address 0.0.0.0 \
        --advertise-address $node_address --service-cluster-ip-range $services \
        --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged \
        --client-ca-file "$state/keys/ca.crt" \
        --tls-cert-file "$state/keys/apiserver.crt" --tls-private-key-file "$state/keys/apiserver.key" \
        --kubelet-preferred-address-types InternalIP \
        --kubelet-client-certificate "$state/keys/admin.crt" --kubelet-client-key "$state/keys/admin.key" \
        --service-account-issuer https://kubernetes.default.svc \
        --service-account-key-file "$state/keys/accounts.key" \
        --service-account-signing-key-file "$state/keys/accounts.key" \
        --requestheader-client-ca-file "$state/keys/ca.crt" --requestheader-allowed-names aggregator \
        --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group \
        --requestheader-extra-headers-prefix X-Remote-Extra- \
        --proxy-client-cert-file "$state/keys/aggregator.crt" --proxy-client-key-file "$state/keys/aggregator.key"
    wait_for 90 kubectl get --raw /readyz
    start kube-controller-manager --kubeconfig "$state/controller-manager.kubeconfig" --leader-elect=false \
        --use-service-account-credentials --service-account-private-key-file "$state/keys/accounts.key" \
        --root-ca-file "$state/keys/ca.crt" --cluster-signing-cert-file "$state/keys/ca.crt" \
        --cluster-signing-key-file "$state/keys/ca.key" --allocate-node-cidrs=false \
        --horizontal-pod-autoscaler-sync-period 5s
    start kube-scheduler --kubeconfig "$state/scheduler.kubeconfig" --leader-elect=false
}

the_node() {
    start containerd --config "$state/containerd.toml"
    wait_for 30 test -S /run/containerd/containerd.sock
    start kubelet --config "$state/kubelet.yaml" --kubeconfig "$state/node.kubeconfig" \
        --hostname-override $node --node-ip $node_address --v="${KUBELET_V:-2}"
    start kube-proxy --config "$state/proxy.yaml"
    wait_for 90 kubectl get node $node
    kubectl wait --for=condition=Ready node/$node --timeout=90s
}

the_namespace() {
    kubectl create -f - <<YAML
apiVersion: v1
kind: Namespace
metadata: {name: $namespace, labels: {pod-security.kubernetes.io/enforce: restricted}}
YAML
    wait_for 30 kubectl --namespace $namespace get serviceaccount default
}

inside() {
    trap 'touch "$state/failed"' ERR
    export KUBECONFIG=$state/admin.kubeconfig PATH=$cluster/bin:$PATH
    file_system
    network
    keys
    settings
    control_plane
    the_namespace
    the_node
    kubectl get node -o wide >"$state/ready.new"
    mv "$state/ready.new" "$state/ready"
    wait -n || true
    echo "one of the programs has ended: $(jobs -l)"
    exec sleep infinity
}

if [ "${1:-}" = inside ]; then inside; else outside; fi

#!/usr/bin/env bash
# Runs ssl-manager inside the cluster as the owner of the database and with the sealing key, which sign tokens and people:
# for trying out. In production an administrator's machine does that (deploy/README.md), because a token that a pod prints
# stands in its log; here the pod is deleted at once.
#
#   deploy/k8s/overlays/single-node/command.sh token create --name me --role admin
#   deploy/k8s/overlays/single-node/command.sh --print token list       only shows the pod
set -euo pipefail

print=
if [ "${1:-}" = --print ]; then
    print=yes
    shift
fi
[ $# -gt 0 ] || { echo "usage: $0 [--print] COMMAND..." >&2; exit 64; }
# The image that the overlay names.
image=$(kubectl kustomize "$(dirname "$0")" 2>/dev/null | sed -n 's|^ *image: \(\(.*/\)\?ssl-manager[:@].*\)|\1|p' | sort -u)
name=command-$RANDOM$RANDOM
# Each word as a JSON string, which is YAML, too.
words=
for word in "$@"; do
    word=${word//\\/\\\\}
    words+=", \"${word//\"/\\\"}\""
done

pod() {
    cat <<YAML
apiVersion: v1
kind: Pod
metadata:
  name: $name
  namespace: ssl-manager
  labels: {app.kubernetes.io/component: migrate}
spec:
  restartPolicy: Never
  serviceAccountName: migrate
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: command
      image: $image
      args: [${words#, }]
      stdin: true
      stdinOnce: true
      env:
        - name: SSL_MANAGER__STORE__URL
          valueFrom:
            secretKeyRef: {name: ssl-manager-migrate, key: store-url}
        - {name: SSL_MANAGER__KEYS__SEALING_KEY_FILE, value: /etc/ssl-manager/sealing.key}
      resources:
        requests: {cpu: 50m, memory: 64Mi}
        limits: {memory: 256Mi}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: files, mountPath: /etc/ssl-manager, readOnly: true}
  volumes:
    - name: files
      projected:
        defaultMode: 0440
        sources:
          - configMap:
              name: ssl-manager-roots
          - secret:
              name: ssl-manager-sealing
              items: [{key: sealing.key, path: sealing.key}]
YAML
}

if [ -n "$print" ]; then
    pod
    exit
fi
k() { kubectl --namespace ssl-manager "$@"; }
trap 'k delete pod "$name" --now --ignore-not-found >/dev/null' EXIT
pod | k apply --filename - >/dev/null
ask() { k get pod "$name" --output "jsonpath={$1}"; }
# A short command has ended before it was ever ready.
for _ in $(seq 120); do
    [[ $(ask .status.phase) =~ ^(Running|Succeeded|Failed)$ ]] && break
    sleep 1
done
# What was printed before somebody listened stands in the log.
if [ -t 0 ]; then
    k logs --follow "$name"
else
    k attach --stdin --quiet "$name"
fi
code=
for _ in $(seq 30); do
    code=$(ask '.status.containerStatuses[0].state.terminated.exitCode')
    [ -z "$code" ] || break
    sleep 1
done
exit "${code:-1}"

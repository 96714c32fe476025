{{- define "weir-sidecar.volumes" -}}
- name: weir-config
  configMap:
    name: {{ .name }}
{{- if include "weir-sidecar.appSocket" . }}
- name: weir-socket
  emptyDir: {}
{{- end }}
{{- end -}}

{{/* The folder of the app's socket, for the app's container too. Empty without a socket. */}}
{{- define "weir-sidecar.appVolumeMounts" -}}
{{- with include "weir-sidecar.appSocket" . -}}
- name: weir-socket
  mountPath: {{ dir . }}
{{- end -}}
{{- end -}}

{{/* A changed configuration restarts the pods; with config.watch, only a change that weir cannot make while
it is running. */}}
{{- define "weir-sidecar.podAnnotations" -}}
checksum/weir-config: {{ include "weir-sidecar.restartingConfig" . | sha256sum }}
{{- if .weir.scrapeAnnotations }}
prometheus.io/scrape: "true"
prometheus.io/port: {{ int .weir.adminPort | quote }}
prometheus.io/path: /metrics
{{- end }}
{{- end -}}

{{/*
The pod's securityContext. Below 1024, a port can be bound without privileges if the pod says so: the sysctl
is a safe one, which the "restricted" standard permits. fsGroup gives both containers the folder of the
socket.
*/}}
{{- define "weir-sidecar.podSecurityContext" -}}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- if include "weir-sidecar.appSocket" . }}
fsGroup: 65532
{{- end }}
{{- $low := false -}}
{{- range list (int .weir.port) (int .weir.adminPort) (include "weir-sidecar.appPort" . | int) -}}
{{- if lt . 1024 -}}{{- $low = true -}}{{- end -}}
{{- end -}}
{{- if $low }}
sysctls:
  - {name: net.ipv4.ip_unprivileged_port_start, value: "0"}
{{- end }}
{{- end -}}

{{- define "weir-sidecar.configMap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .name }}
  {{- with .labels }}
  labels: {{- . | nindent 4 }}
  {{- end }}
data:
  weir.json: |
    {{- include "weir-sidecar.config" . | nindent 4 }}
{{- end -}}

{{/* The container of weir, as an element of a list. */}}
{{- define "weir-sidecar.container" -}}
{{- include "weir-sidecar.check" . -}}
- name: weir
  image: {{ include "weir-sidecar.image" . | quote }}
  imagePullPolicy: {{ .weir.image.pullPolicy | default "IfNotPresent" }}
  {{- if .weir.native }}
  # An init container with restartPolicy Always is a sidecar: it starts before the app and stops after it.
  restartPolicy: Always
  {{- end }}
  args: ["serve"]
  env:
    # In the environment, other commands find it too: kubectl exec ... -c weir -- /weir status
    - {name: WEIR_CONFIG, value: /etc/weir/weir.json}
    {{- with .weir.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .weir.envFrom }}
  envFrom: {{- toYaml . | nindent 4 }}
  {{- end }}
  ports: {{- include "weir-sidecar.ports" . | nindent 4 }}
  {{- include "weir-sidecar.probes" . | nindent 2 }}
  lifecycle:
    preStop: {{- include "weir-sidecar.preStop" . | nindent 6 }}
  {{- with .weir.securityContext }}
  securityContext: {{- toYaml . | nindent 4 }}
  {{- end }}
  resources: {{- include "weir-sidecar.resources" . | nindent 4 }}
  volumeMounts:
    # A directory: the kubelet never updates a file that is mounted with subPath.
    - name: weir-config
      mountPath: /etc/weir
      readOnly: true
    {{- with include "weir-sidecar.appVolumeMounts" . }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with .weir.volumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* The container, for initContainers: empty unless weir is a native sidecar. */}}
{{- define "weir-sidecar.initContainers" -}}
{{- if .weir.native }}{{ include "weir-sidecar.container" . }}{{ end -}}
{{- end -}}

{{/* The container, for containers: empty if weir is a native sidecar. */}}
{{- define "weir-sidecar.containers" -}}
{{- if not .weir.native }}{{ include "weir-sidecar.container" . }}{{ end -}}
{{- end -}}

{{/* The names are for PodMonitors. Services, policies and probes use the numbers: the names of sidecar ports
resolve only since Kubernetes 1.33. */}}
{{- define "weir-sidecar.ports" -}}
- name: weir
  containerPort: {{ int .weir.port }}
  protocol: TCP
- name: weir-admin
  containerPort: {{ int .weir.adminPort }}
  protocol: TCP
{{- end -}}

{{- define "weir-sidecar.probes" -}}
# The app starts only after this probe has passed: it must not depend on the app.
startupProbe:
  httpGet: {path: /livez, port: {{ int .weir.adminPort }}}
  periodSeconds: 1
  timeoutSeconds: 1
  failureThreshold: 30
# Four failures in a row: shorter than the default of drain.delay, so that after `weir drain` by
# hand the endpoint is gone before the listener is.
readinessProbe:
  httpGet: {path: /readyz, port: {{ int .weir.adminPort }}}
  periodSeconds: 1
  timeoutSeconds: 1
  failureThreshold: 4
livenessProbe:
  httpGet: {path: /livez, port: {{ int .weir.adminPort }}}
  periodSeconds: 10
  timeoutSeconds: 2
  failureThreshold: 3
{{- end -}}

{{/*
The hooks of both containers start when the pod is terminated; SIGTERM follows the hook, and a native
sidecar's also the app's end. So weir drains while the app runs. The pod has left the endpoints already;
nodes connect to it only while no other pod is ready, and only if it is ready itself. The address is given
here because the mounted configuration may already be that of the next release.
*/}}
{{- define "weir-sidecar.preStop" -}}
exec:
  command: ["/weir", "drain", "--admin-listen", "127.0.0.1:{{ int .weir.adminPort }}", "--keep-ready", "--wait", "{{ include "weir-sidecar.hookSeconds" . }}s"]
{{- end -}}

{{/* The lifecycle of the app's container: it keeps running until weir has drained. Empty without a hook. */}}
{{- define "weir-sidecar.appLifecycle" -}}
{{- $hook := include "weir-sidecar.appHook" . -}}
{{- if eq $hook "sleep" -}}
preStop:
  sleep: {seconds: {{ include "weir-sidecar.hookSeconds" . }}}
{{- else if eq $hook "http" -}}
preStop:
  httpGet: {path: "/drain?ready=keep&wait={{ include "weir-sidecar.hookSeconds" . }}s", port: {{ int .weir.adminPort }}}
{{- end -}}
{{- end -}}

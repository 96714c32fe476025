{{/* The app's container, as an element of a list. Takes what the templates of weir-sidecar take. */}}
{{- define "weir.app" -}}
{{- $app := .root.Values.app -}}
- name: app
  image: {{ include "weir.appImage" .root | quote }}
  imagePullPolicy: {{ $app.image.pullPolicy }}
  {{- with $app.command }}
  command: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $app.args }}
  args: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $app.env }}
  env: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $app.envFrom }}
  envFrom: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $app.ports }}
  ports: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- range $kind := list "startupProbe" "readinessProbe" "livenessProbe" }}
  {{- with get $app $kind }}
  {{ $kind }}: {{- include "weir.appProbe" (dict "probe" . "port" $app.port) | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- $lifecycle := merge (include "weir-sidecar.appLifecycle" . | fromYaml) (deepCopy ($app.lifecycle | default dict)) }}
  {{- with $lifecycle }}
  # weir's drain comes first: until it is over, the app must keep running.
  lifecycle: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $app.securityContext }}
  securityContext: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $app.resources }}
  resources: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- $mounts := concat (include "weir-sidecar.appVolumeMounts" . | fromYamlArray) ($app.volumeMounts | default list) }}
  {{- with $mounts }}
  volumeMounts: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* That of weir-sidecar, for app.ports as well, and with podSecurityContext. */}}
{{- define "weir.podSecurityContext" -}}
{{- $context := include "weir-sidecar.podSecurityContext" . | fromYaml -}}
{{- range .root.Values.app.ports -}}
{{- if lt (int .containerPort) 1024 -}}
{{- $_ := set $context "sysctls" (list (dict "name" "net.ipv4.ip_unprivileged_port_start" "value" "0")) -}}
{{- end -}}
{{- end -}}
{{- mergeOverwrite $context (deepCopy (.root.Values.podSecurityContext | default dict)) | toYaml -}}
{{- end -}}

{{/* topologySpreadConstraints: of the pods of this Deployment, unless one names others. */}}
{{- define "weir.spread" -}}
{{- $out := list -}}
{{- range .Values.topologySpreadConstraints -}}
{{- $own := dict "labelSelector" (dict "matchLabels" (include "weir.selectorLabels" $ | fromYaml)) -}}
{{- $out = append $out (merge (deepCopy .) $own) -}}
{{- end -}}
{{- toYaml $out -}}
{{- end -}}

{{/*
What a chart that depends on this one includes in its pod template. Each takes this chart's
context and gives list items:

  initContainers:
    {{- include "switchgear.sidecar" .Subcharts.switchgear | nindent 4 }}
  containers:
    - name: app
      env:
        {{- include "switchgear.clientEnv" .Subcharts.switchgear | nindent 8 }}
  volumes:
    {{- include "switchgear.volumes" .Subcharts.switchgear | nindent 4 }}
*/}}

{{/* The native sidecar. Put it first among the init containers, so that the others may call it. */}}
{{- define "switchgear.sidecar" -}}
{{- include "switchgear.container" (dict "context" . "shape" "sidecar") -}}
{{- end }}

{{/*
The volumes of the container. Whole directories, never subPath: a subPath mount is not updated.
Secret files are readable by all users because the pod's fsGroup is the application's choice; the
volume is mounted in this container only.
*/}}
{{- define "switchgear.volumes" -}}
- name: switchgear-manifests
  configMap:
    name: {{ include "switchgear.configMapName" . }}
- name: switchgear-state
  emptyDir:
    sizeLimit: 64Mi
{{- range $index, $secret := keys .Values.credentials.secrets | sortAlpha }}
{{- $entry := get $.Values.credentials.secrets $secret | default dict }}
- name: switchgear-secret-{{ $index }}
  secret:
    secretName: {{ $secret }}
    defaultMode: 0444
    optional: {{ dig "optional" true $entry }}
    {{- with $entry.keys }}
    items:
      {{- range . }}
      - key: {{ . | quote }}
        path: {{ . | quote }}
      {{- end }}
    {{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What OpenAI's clients read. They refuse to start without a key; the sidecar ignores this one. */}}
{{- define "switchgear.clientEnv" -}}
- name: OPENAI_BASE_URL
  value: {{ printf "http://127.0.0.1:%v/v1" .Values.ports.data | quote }}
- name: OPENAI_API_KEY
  value: unused-behind-switchgear
{{- end }}

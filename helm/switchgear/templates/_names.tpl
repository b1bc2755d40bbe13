{{/*
Names and labels. Each takes the context of this chart: `.` in its own templates,
`.Subcharts.switchgear` in those of a chart that depends on it.
*/}}

{{- define "switchgear.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/* At most 53 characters, so that the longest suffix (-manifests) stays within a label's 63. */}}
{{- define "switchgear.fullname" -}}
{{- $name := include "switchgear.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "switchgear.configMapName" -}}
{{- .Values.existingConfigMap | default (printf "%s-manifests" (include "switchgear.fullname" .)) -}}
{{- end }}

{{- define "switchgear.serviceAccountName" -}}
{{- with .Values.standalone.serviceAccount -}}
{{- if .create -}}
{{- .name | default (include "switchgear.fullname" $) -}}
{{- else -}}
{{- .name | default "default" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "switchgear.selectorLabels" -}}
app.kubernetes.io/name: {{ include "switchgear.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "switchgear.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "switchgear.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: switchgear
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "switchgear.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/*
The container, once, for both shapes. Takes (dict "context" . "shape" "sidecar"|"standalone").

- The data listener of a sidecar stays on loopback: only the pod's own containers reach it. The
  stand-alone form binds the pod's address, which the command does only with --allow-remote.
- The admin listener stays on loopback in both. `kubectl port-forward` and `kubectl exec` reach it.
- The kubelet sends httpGet probes to the pod's IP, never to the pod's loopback, and `host: 127.0.0.1`
  would mean the node's. An exec probe would start a Python process every few seconds. So there is
  a third listener that answers /livez and /readyz and nothing else.
- The startup probe asks for /readyz: the kubelet starts the containers behind a native sidecar
  when it passes, so the application's first call finds a table.
- There is no preStop hook. The kubelet stops a native sidecar after the application's containers;
  until then it must serve. The stand-alone form goes on taking calls for --lame-duck after SIGTERM,
  until no Service sends any: that needs no hook, and the image has nothing that a hook could run.
*/}}
{{- define "switchgear.container" -}}
{{- $ := .context -}}
{{- $standalone := eq .shape "standalone" -}}
{{- with $.Values.ports -}}
{{- if ne 3 (list (int .data) (int .admin) (int .probe) | uniq | len) -}}
{{- fail (printf "ports.data (%v), ports.admin (%v) and ports.probe (%v) must differ" .data .admin .probe) -}}
{{- end -}}
{{- end -}}
{{- $any := ternary "[::]" "0.0.0.0" (eq $.Values.ipFamily "IPv6") -}}
- name: switchgear
  image: {{ include "switchgear.image" $ | quote }}
  imagePullPolicy: {{ $.Values.image.pullPolicy }}
  {{- if not $standalone }}
  restartPolicy: Always
  {{- end }}
  args:
    - run
    - --manifests=/etc/switchgear/manifests
    - --state-dir=/var/lib/switchgear
    - --secrets-root=/var/run/secrets/switchgear
    {{- if $standalone }}
    - {{ printf "--listen=%s:%v" $any $.Values.ports.data | quote }}
    - --allow-remote
    {{- else }}
    - {{ printf "--listen=127.0.0.1:%v" $.Values.ports.data | quote }}
    {{- end }}
    - {{ printf "--admin=127.0.0.1:%v" $.Values.ports.admin | quote }}
    - {{ printf "--probe=%s:%v" $any $.Values.ports.probe | quote }}
    - {{ printf "--drain=%vs" (ternary $.Values.standalone.drainSeconds $.Values.sidecar.drainSeconds $standalone) | quote }}
    {{- if $standalone }}
    - {{ printf "--lame-duck=%vs" $.Values.standalone.lameDuckSeconds | quote }}
    {{- end }}
    {{- with $.Values.logFormat }}
    - {{ printf "--log-format=%s" . | quote }}
    {{- end }}
    {{- with $.Values.maxBody }}
    - {{ printf "--max-body=%s" . | quote }}
    {{- end }}
    {{- if gt (int $.Values.workers) 1 }}
    - {{ printf "--workers=%v" $.Values.workers | quote }}
    {{- end }}
    {{- range $.Values.extraArgs }}
    - {{ . | quote }}
    {{- end }}
  env:
    {{- include "switchgear.containerEnv" $ | nindent 4 }}
  ports:
    {{- if $standalone }}
    - name: openai
      containerPort: {{ $.Values.ports.data }}
      protocol: TCP
    {{- end }}
    - name: sg-probe
      containerPort: {{ $.Values.ports.probe }}
      protocol: TCP
  startupProbe:
    httpGet:
      path: /readyz
      port: sg-probe
    periodSeconds: 1
    timeoutSeconds: 1
    failureThreshold: 60
  livenessProbe:
    httpGet:
      path: /livez
      port: sg-probe
    periodSeconds: 10
    timeoutSeconds: 3
    failureThreshold: 3
  readinessProbe:
    httpGet:
      path: /readyz
      port: sg-probe
    periodSeconds: 5
    timeoutSeconds: 3
    failureThreshold: 2
  resources:
    {{- toYaml $.Values.resources | nindent 4 }}
  securityContext:
    allowPrivilegeEscalation: false
    capabilities:
      drop: [ALL]
    readOnlyRootFilesystem: true
    runAsNonRoot: true
    {{- with $.Values.uid }}
    runAsUser: {{ . }}
    runAsGroup: {{ . }}
    {{- end }}
    seccompProfile:
      type: RuntimeDefault
  volumeMounts:
    - name: switchgear-manifests
      mountPath: /etc/switchgear/manifests
      readOnly: true
    - name: switchgear-state
      mountPath: /var/lib/switchgear
    {{- range $index, $secret := keys $.Values.credentials.secrets | sortAlpha }}
    - name: switchgear-secret-{{ $index }}
      mountPath: /var/run/secrets/switchgear/{{ $secret }}
      readOnly: true
    {{- end }}
    {{- with $.Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* The downward API first: the resource attributes refer to it. */}}
{{- define "switchgear.containerEnv" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_UID
  valueFrom:
    fieldRef:
      fieldPath: metadata.uid
- name: NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: NODE
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
- name: OTEL_SERVICE_NAME
  value: switchgear
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ include "switchgear.resourceAttributes" . | quote }}
{{- with .Values.telemetry.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- range $name, $ref := .Values.credentials.env }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $ref.secret }}
      key: {{ $ref.key }}
      optional: {{ dig "optional" true $ref }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "switchgear.resourceAttributes" -}}
service.namespace=$(NAMESPACE),service.instance.id=$(NAMESPACE).$(POD_NAME).switchgear,k8s.namespace.name=$(NAMESPACE),k8s.pod.name=$(POD_NAME),k8s.pod.uid=$(POD_UID),k8s.node.name=$(NODE),k8s.container.name=switchgear
{{- range $name, $value := .Values.telemetry.resourceAttributes }},{{ $name }}={{ $value }}{{ end }}
{{- end }}

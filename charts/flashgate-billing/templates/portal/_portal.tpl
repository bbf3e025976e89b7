{{/* Labels of the portal's own Deployment. No Service or selector of the operator may select its pods. */}}
{{- define "flashgate-billing.portalLabels" -}}
{{- $labels := include "flashgate-billing.labels" . | fromYaml -}}
{{- toYaml (set $labels "app.kubernetes.io/component" "portal") -}}
{{- end -}}

{{/* Labels by which a selector finds the pods that serve the portal. */}}
{{- define "flashgate-billing.portalSelectorLabels" -}}
{{- $labels := include "flashgate-billing.selectorLabels" . | fromYaml -}}
{{- if include "flashgate-billing.portalDeployed" . -}}
{{- $labels = set $labels "app.kubernetes.io/component" "portal" -}}
{{- end -}}
{{- toYaml $labels -}}
{{- end -}}

{{/* "true" if the portal has its own Deployment. */}}
{{- define "flashgate-billing.portalDeployed" -}}
{{- if and .Values.portal.enabled (ne .Values.history.mode "sqlite") -}}true{{- end -}}
{{- end -}}

{{/* "true" if the portal is a container of the operator's pod, because only one pod can open the file of SQLite. */}}
{{- define "flashgate-billing.portalInOperatorPod" -}}
{{- if and .Values.portal.enabled (eq .Values.history.mode "sqlite") -}}true{{- end -}}
{{- end -}}

{{/* Host of the public URL, without its port. */}}
{{- define "flashgate-billing.portalHost" -}}
{{- regexReplaceAll ":[0-9]+$" (urlParse .Values.portal.publicURL).host "" -}}
{{- end -}}

{{/* The files that a client of Kubernetes needs beside a token: CA and namespace, as sources of a projected volume. */}}
{{- define "flashgate-billing.clusterSources" -}}
- configMap:
    name: kube-root-ca.crt
    items:
      - key: ca.crt
        path: ca.crt
- downwardAPI:
    items:
      - path: namespace
        fieldRef:
          fieldPath: metadata.namespace
{{- end -}}

{{/* The rule of a NetworkPolicy for connections to the portal. */}}
{{- define "flashgate-billing.portalIngress" -}}
- ports:
    - port: {{ .Values.portal.port }}
      protocol: TCP
  {{- with .Values.networkPolicy.portalFrom }}
  from:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The volumes that only the portal uses. */}}
{{- define "flashgate-billing.portalVolumes" -}}
# The CA of the cluster, and no token: each call to Kubernetes has the token of its caller.
- name: cluster
  projected:
    sources:
      {{- include "flashgate-billing.clusterSources" . | nindent 6 }}
{{- with .Values.portal.tls.existingSecret }}
- name: portal-tls
  secret:
    secretName: {{ . }}
{{- end }}
{{- end -}}

{{/* The container of the portal, as an item of `containers`. */}}
{{- define "flashgate-billing.portalContainer" -}}
- name: portal
  image: {{ include "flashgate-billing.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args:
    - serve
    - --listen={{ .Values.listenAddress }}:{{ .Values.portal.port }}
    {{- with .Values.portal.publicURL }}
    - --public-url={{ . }}
    {{- end }}
    {{- if .Values.catalog }}
    - --catalog=/etc/flashgate-billing/catalog/catalog.yaml
    {{- end }}
    {{- range default .Values.namespaces .Values.portal.namespaces }}
    - --namespaces={{ . }}
    {{- end }}
    - --writes={{ .Values.portal.writes }}
    - --requests-per-second={{ .Values.portal.requestsPerSecond | int }}
    {{- if .Values.portal.tls.existingSecret }}
    - --tls-cert=/etc/flashgate-billing/portal-tls/tls.crt
    - --tls-key=/etc/flashgate-billing/portal-tls/tls.key
    {{- end }}
    - --max-connections={{ .Values.connections.max }}
    - --max-connections-per-address={{ .Values.connections.maxPerAddress }}
    - --log-format={{ .Values.logging.format }}
    - --log-filter={{ .Values.logging.filter }}
  {{- if ne .Values.history.mode "none" }}
  env:
    - name: FLASHGATE_HISTORY
      {{- $secret := ternary .Values.portal.postgres .Values.history.postgres (ne .Values.portal.postgres.existingSecret "") }}
      {{- include "flashgate-billing.historyURL" (list . $secret) | nindent 6 }}
  {{- end }}
  ports:
    - name: portal
      containerPort: {{ .Values.portal.port }}
      protocol: TCP
  {{- if include "flashgate-billing.portalDeployed" . }}
  # A rollout with a history that cannot be read stops here. Later the portal serves without the history, because a probe
  # of a database that all pods share would stop all of them at once.
  startupProbe:
    {{- include "flashgate-billing.portalProbe" (list . "/healthz") | nindent 4 }}
    periodSeconds: 2
    timeoutSeconds: 10
    failureThreshold: 60
  {{- end }}
  {{- /* In the operator's pod, a probe of the history would stop the webhook too, which works without a history. */}}
  readinessProbe:
    {{- include "flashgate-billing.portalProbe" (list . "/livez") | nindent 4 }}
    periodSeconds: 5
    timeoutSeconds: 5
  livenessProbe:
    {{- include "flashgate-billing.portalProbe" (list . "/livez") | nindent 4 }}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  {{- if include "flashgate-billing.portalDeployed" . }}
  lifecycle:
    preStop:
      # Proxies still send requests until they know that the pod stops.
      sleep:
        seconds: 5
  {{- end }}
  securityContext:
    {{- toYaml .Values.securityContext | nindent 4 }}
  resources:
    {{- toYaml .Values.portal.resources | nindent 4 }}
  volumeMounts:
    - name: cluster
      mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      readOnly: true
    {{- if include "flashgate-billing.portalInOperatorPod" . }}
    # SQLite reads a file in WAL mode through a read-only mount while the operator has it open.
    - name: history
      mountPath: /var/lib/flashgate-billing/history
      readOnly: true
    {{- end }}
    {{- with include "flashgate-billing.sharedMounts" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- if .Values.portal.tls.existingSecret }}
    - name: portal-tls
      mountPath: /etc/flashgate-billing/portal-tls
      readOnly: true
    {{- end }}
{{- end -}}

{{/* The request of a probe: (list $ path). */}}
{{- define "flashgate-billing.portalProbe" -}}
httpGet:
  path: {{ last . }}
  port: portal
  {{- if (first .).Values.portal.tls.existingSecret }}
  scheme: HTTPS
  {{- end }}
{{- end -}}

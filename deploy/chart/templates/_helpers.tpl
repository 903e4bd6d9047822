{{/* What every object carries. */}}
{{- define "pacecar.labels" -}}
app.kubernetes.io/name: pacecar
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "pacecar.name" -}}
{{ if contains "pacecar" .Release.Name }}{{ .Release.Name | trunc 50 }}{{ else }}{{ printf "%s-pacecar" (.Release.Name | trunc 42) }}{{ end }}
{{- end }}

{{- define "pacecar.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "pacecar.plan" -}}
{{ if .Values.plan }}plan.yaml{{ else }}canary.yaml{{ end }}
{{- end }}

{{/* A plan that changed is a new pod. */}}
{{- define "pacecar.digest" -}}
checksum/plans: {{ include (print $.Template.BasePath "/plans.yaml") . | sha256sum }}
{{- end }}

{{- define "pacecar.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "pacecar.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- define "pacecar.env" -}}
- { name: API_URL, value: {{ .Values.apiUrl | quote }} }
- { name: ENVIRONMENT, value: {{ .Values.environment | quote }} }
- name: DATABASE_URL
  valueFrom: { secretKeyRef: { name: {{ .Values.secretName }}, key: database-url, optional: true } }
- name: AUTH_PASSWORD
  valueFrom: { secretKeyRef: { name: {{ .Values.secretName }}, key: auth-password, optional: true } }
- name: PACECAR_TOKEN
  valueFrom: { secretKeyRef: { name: {{ .Values.secretName }}, key: token, optional: true } }
{{- range $name, $value := .Values.env }}
- { name: {{ $name }}, value: {{ $value | quote }} }
{{- end }}
{{- end }}

{{/* The name, as a label, of the pods that ask a release whether it is ready. */}}
{{- define "scaleouttask-controller.testName" -}}
{{- include "scaleouttask-controller.fullname" . | trunc 58 | trimSuffix "-" }}-test
{{- end }}

{{- define "scaleouttask-controller.testLabels" -}}
{{- $own := dict "app.kubernetes.io/name" (include "scaleouttask-controller.testName" .) }}
{{- mustMergeOverwrite (deepCopy .Values.commonLabels) $own | toYaml }}
{{- end }}

{{/* What such a pod is, except for how often it is started. */}}
{{- define "scaleouttask-controller.testPod" -}}
{{- $variable := include "scaleouttask-controller.fullname" . | upper | replace "-" "_" -}}
automountServiceAccountToken: false
securityContext:
  {{- include "scaleouttask-controller.securityContext" (dict "root" . "context" .Values.podSecurityContext) | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "scaleouttask-controller.nodes" . | trim }}
{{ . }}
{{- end }}
containers:
  - name: ask
    image: {{ include "scaleouttask-controller.image" . | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    # The Service's own variables, which kubelet fills in: this needs no DNS. A new Service takes a
    # moment until it leads anywhere.
    args: [check, --wait=30s, "--host=$({{ $variable }}_SERVICE_HOST)", "--port=$({{ $variable }}_SERVICE_PORT)"]
    resources:
      {{- toYaml .Values.resources | nindent 6 }}
    securityContext:
      {{- include "scaleouttask-controller.securityContext" (dict "root" . "context" .Values.securityContext) | nindent 6 }}
{{- end }}

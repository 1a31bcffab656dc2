{{/* The name of all objects in namespaces, such that a Service may have it. */}}
{{- define "scaleouttask-controller.fullname" -}}
{{- $chart := default .Chart.Name .Values.nameOverride }}
{{- $release := .Release.Name | replace "." "-" }}
{{- $name := printf "%s-%s" $release $chart }}
{{- if .Values.fullnameOverride }}
{{- $name = .Values.fullnameOverride }}
{{- else if contains $chart $release }}
{{- $name = $release }}
{{- end }}
{{- if regexMatch "^[0-9]" $name }}
{{- fail (printf "a Service can't be called %s: set fullnameOverride to a name that begins with a letter" $name) }}
{{- end }}
{{- $name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of what is outside of the release's namespace: releases in two may be called the same. */}}
{{- define "scaleouttask-controller.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "scaleouttask-controller.fullname" .) }}
{{- end }}

{{- define "scaleouttask-controller.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "scaleouttask-controller.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.create is false: name the one to use in serviceAccount.name" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Which nodes the pods of the release may be on: of those that the image is for. */}}
{{- define "scaleouttask-controller.nodes" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $affinity := deepCopy .Values.affinity }}
{{- with .Values.image.architectures }}
{{- $is := dict "key" "kubernetes.io/arch" "operator" "In" "values" . }}
{{- $terms := list (dict "matchExpressions" (list $is)) }}
{{- $nodes := dict "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" $terms) }}
{{- $affinity = mustMergeOverwrite (dict "nodeAffinity" $nodes) $affinity }}
{{- end }}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "scaleouttask-controller.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end }}
{{- end }}
{{- end }}

{{/* These, and so nameOverride, can't change over a release's life. */}}
{{- define "scaleouttask-controller.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* The chart's own go before those of commonLabels. */}}
{{- define "scaleouttask-controller.labels" -}}
{{- include "scaleouttask-controller.ownLabels" . | fromYaml | mustMergeOverwrite (deepCopy .Values.commonLabels) | toYaml }}
{{- end }}

{{- define "scaleouttask-controller.ownLabels" -}}
{{ include "scaleouttask-controller.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The chart's own labels with those of a value; the chart's own win. */}}
{{- define "scaleouttask-controller.labelsWith" -}}
{{- include "scaleouttask-controller.labels" .root | fromYaml | mustMergeOverwrite (deepCopy .labels) | toYaml }}
{{- end }}

{{/* A security context. OpenShift gives each namespace a user and groups of its own, and refuses others. */}}
{{- define "scaleouttask-controller.securityContext" -}}
{{- $found := .root.Capabilities.APIVersions.Has "security.openshift.io/v1" }}
{{- $given := ternary $found .root.Values.openshift.enabled (eq "auto" (toString .root.Values.openshift.enabled)) }}
{{- $context := default dict .context }}
{{- $given | ternary (omit $context "runAsUser" "runAsGroup" "fsGroup") $context | toYaml }}
{{- end }}

{{/* The subject of all bindings. */}}
{{- define "scaleouttask-controller.subjects" -}}
- kind: ServiceAccount
  name: {{ include "scaleouttask-controller.serviceAccountName" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
{{- end }}

{{/* What the controller does with objects and Events. */}}
{{- define "scaleouttask-controller.rules" -}}
- apiGroups: [scaleout.dev]
  resources: [scaleouttasks]
  verbs: {{ .Values.rbac.delete | ternary "[get, list, watch, delete]" "[get, list, watch]" }}
- apiGroups: [scaleout.dev]
  resources: [scaleouttasks/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- if include "scaleouttask-controller.findsTasks" . }}
- apiGroups: [scaleout.dev]
  resources: [scaleouttasksources]
  verbs: [list, watch]
- apiGroups: [scaleout.dev]
  resources: [scaleouttasksources/status]
  verbs: [patch]
- apiGroups: [scaleout.dev]
  resources: [scaleouttasks]
  verbs: [create]
{{- end }}
{{- end }}

{{/* A file of the chart, which a packaged chart may lack. */}}
{{- define "scaleouttask-controller.file" -}}
{{- $text := .root.Files.Get .path }}
{{- if not $text }}
{{- fail (printf "the chart has no %s, which %s needs" .path .for) }}
{{- end }}
{{- $text }}
{{- end }}

{{/* A text on lines of its own, indented; blank lines stay empty. */}}
{{- define "scaleouttask-controller.indented" }}
{{ regexReplaceAll "(?m)^ +$" (trim .text | indent .by) "" }}
{{- end }}

{{/* Where the credentials come from: rrsa, secret, ecs, none or default. */}}
{{- define "scaleouttask-controller.credentials" -}}
{{- $found := list }}
{{- with .Values.credentials }}
{{- if ne (empty .rrsa.roleArn) (empty .rrsa.oidcProviderArn) }}
{{- fail "credentials.rrsa needs both roleArn and oidcProviderArn" }}
{{- end }}
{{- if .rrsa.roleArn }}{{ $found = append $found "rrsa" }}{{ end }}
{{- if .existingSecret }}{{ $found = append $found "secret" }}{{ end }}
{{- if .ecsRamRole }}{{ $found = append $found "ecs" }}{{ end }}
{{- if .none }}{{ $found = append $found "none" }}{{ end }}
{{- end }}
{{- if gt (len $found) 1 }}
{{- fail "credentials: set only one of rrsa, existingSecret, ecsRamRole and none" }}
{{- end }}
{{- default "default" (first $found) }}
{{- end }}

{{/* Fails where the program would refuse to start. */}}
{{- define "scaleouttask-controller.checkEndpoint" -}}
{{- $isHere := regexMatch "^http://(localhost|127[.][0-9.]+|\\[::1\\])(:|/|$)" .url }}
{{- if and (hasPrefix "http://" .url) (not .insecure) (not $isHere) }}
{{- fail (printf "%s is plain http, by which credentials can be read on the way: use https, or set allowInsecureEndpoint" .name) }}
{{- end }}
{{- end }}

{{/* The arguments of the program, as YAML. */}}
{{- define "scaleouttask-controller.args" -}}
{{- $credentials := include "scaleouttask-controller.credentials" . }}
{{- with .Values }}
{{- include "scaleouttask-controller.checkEndpoint" (dict "name" "endpoint" "url" .endpoint "insecure" .allowInsecureEndpoint) }}
{{- range $region, $url := .endpointFor }}
{{- include "scaleouttask-controller.checkEndpoint" (dict "name" (printf "endpointFor.%s" $region) "url" $url "insecure" $.Values.allowInsecureEndpoint) }}
{{- end }}
{{- $args := list "run" }}
{{- with .region }}{{ $args = append $args (printf "--region=%s" .) }}{{ end }}
{{- $args = append $args (printf "--endpoint=%s" .endpoint) }}
{{- if ne .network "public" }}
{{- if ne .endpoint "https://cs.{region}.aliyuncs.com" }}
{{- fail "network is for the vendor's own endpoints: leave out network or endpoint" }}
{{- end }}
{{- $args = append $args (printf "--network=%s" .network) }}
{{- end }}
{{- range $region, $url := .endpointFor }}
{{- $args = append $args (printf "--endpoint-for=%s=%s" $region $url) }}
{{- end }}
{{- if .allowInsecureEndpoint }}{{ $args = append $args "--allow-insecure-endpoint" }}{{ end }}
{{- $args = append $args (printf "--credentials=%s" (eq $credentials "none" | ternary "none" "default")) }}
{{- if eq $credentials "secret" }}
{{- $args = append $args (printf "--credentials-directory=%s" (include "scaleouttask-controller.credentialsDirectory" $)) }}
{{- end }}
{{- range .namespaces }}{{ $args = append $args (printf "--namespace=%s" .) }}{{ end }}
{{- with .selector }}{{ $args = append $args (printf "--selector=%s" .) }}{{ end }}
{{- if .nodes.enabled }}{{ $args = append $args "--nodes" }}{{ end }}
{{- if include "scaleouttask-controller.findsTasks" $ }}{{ $args = append $args "--sources" }}{{ end }}
{{- $args = append $args (printf "--poll-interval=%s" .pollInterval) }}
{{- $args = append $args (printf "--requests-per-second=%v" .requestsPerSecond) }}
{{- $args = append $args (printf "--concurrency=%d" (int64 .concurrency)) }}
{{- $args = append $args (printf "--max-calls=%d" (int64 .maxCalls)) }}
{{- $args = append $args (printf "--request-timeout=%s" .requestTimeout) }}
{{- $args = append $args (printf "--min-poll-interval=%s" .minPollInterval) }}
{{- range .allowedRegions }}{{ $args = append $args (printf "--allowed-region=%s" .) }}{{ end }}
{{- if not (kindIs "invalid" .access.rules) }}
{{- $args = append $args "--access-file=/etc/scaleouttask-controller/access.yaml" }}
{{- end }}
{{- range .allowedClusterIds }}{{ $args = append $args (printf "--allowed-cluster-id=%s" .) }}{{ end }}
{{- if .secretCredentials.enabled }}{{ $args = append $args "--secret-credentials" }}{{ end }}
{{- $args = append $args "--leader-elect" }}
{{- $args = append $args (printf "--lease-name=%s" (include "scaleouttask-controller.fullname" $)) }}
{{- $args = append $args (printf "--lease-namespace=%s" $.Release.Namespace) }}
{{- $args = append $args (printf "--admin-address=%s:%d" .admin.address (int64 .admin.port)) }}
{{- $args = append $args (printf "--log-format=%s" .log.format) }}
{{- with .log.filter }}{{ $args = append $args (printf "--log-filter=%s" .) }}{{ end }}
{{- $args = concat $args .extraArgs }}
{{- toYaml $args }}
{{- end }}
{{- end }}

{{/* The ports of the NetworkPolicy's way to the task API: the given ones, and those that endpoints name, proxies, and
where credentials come from. */}}
{{- define "scaleouttask-controller.taskApiPorts" -}}
{{- $ports := list }}
{{- range .Values.networkPolicy.taskApiPorts }}{{ $ports = append $ports (int64 .) }}{{ end }}
{{- $urls := prepend (values .Values.endpointFor) .Values.endpoint }}
{{- range .Values.extraEnv }}
{{- $asked := list "ALIBABA_CLOUD_CREDENTIALS_URI" "ALIBABA_CLOUD_STS_ENDPOINT" "ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT" }}
{{- $isProxy := regexMatch "^(?i)(https?|all)_proxy$" .name }}
{{- if and .value (or $isProxy (has .name $asked)) }}
{{- /* Without a scheme it is http. */}}
{{- $urls = append $urls (ternary .value (printf "http://%s" .value) (contains "://" .value)) }}
{{- if regexMatch "^https://[^/]*[^0-9:/][^:/]*(/|$)" .value }}{{ $ports = append $ports 443 }}{{ end }}
{{- end }}
{{- end }}
{{- range $urls }}
{{- $port := regexFind ":[0-9]+$" (regexFind "^([a-z0-9]+://)?[^/]+" .) | trimPrefix ":" }}
{{- if $port }}{{ $ports = append $ports (int64 $port) }}
{{- else if hasPrefix "http://" . }}{{ $ports = append $ports (int64 80) }}
{{- else if hasPrefix "socks" . }}{{ $ports = append $ports (int64 1080) }}
{{- end }}
{{- end }}
{{- $ports | uniq | toYaml }}
{{- end }}

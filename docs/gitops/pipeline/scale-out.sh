#!/bin/sh
# Applies a file with one ScaleOutTask and waits for the task's end.
#
#   scale-out.sh [--wait-for-nodes] FILE [TIMEOUT_SECONDS]
#
# With --wait-for-nodes, or waitForNodes in the file, it waits until the nodes are Ready too.
#
# Exit codes: 0 the task succeeded, and nodes that it waits for were Ready; 1 it ended badly; 2 it can't be
# tracked until somebody mends what the message says, or ended before it was told to wait; 3 it hasn't ended by the timeout; 4 the object was
# deleted, and how the task ended isn't known; 64 wrong usage, or kubectl failed.
set -u

spec='{}'
if [ "${1:-}" = --wait-for-nodes ]; then
  spec='{"waitForNodes":true}'
  shift
fi
case $#:${2:-1800} in
  [12]:*[!0-9]* | [!12]:*)
    echo "usage: $0 [--wait-for-nodes] FILE [TIMEOUT_SECONDS]" >&2
    exit 64
    ;;
esac
deadline=$(($(date +%s) + ${2:-1800}))

# Set before it is applied: an object whose task has ended waits for no nodes any more.
object=$(kubectl patch --local --type=merge -f "$1" -p "{\"spec\":$spec}" -o json) || exit 64
key=$(printf '%s\n' "$object" | kubectl apply -f - -o jsonpath='{.metadata.namespace} {.metadata.name} {.metadata.generation} {.metadata.uid} {.spec.waitForNodes}') || exit 64
read -r namespace name generation uid waits <<KEY
$key
KEY
task=scaleouttask/$name

# Waits until the object is as $1 says: 10 s at most, and never beyond the deadline.
wait_for() {
  left=$((deadline - $(date +%s)))
  [ "$left" -gt 0 ] || return 1
  [ "$left" -lt 10 ] || left=10
  kubectl -n "$namespace" wait "$task" --for="$1" --timeout="${left}s" >/dev/null 2>&1
}

# The task ended before the object was told to wait, so nobody looked at its nodes.
ended_too_soon() {
  echo "$task ended before it was told to wait for nodes: delete it, and run this again" >&2
  exit 2
}

# With a short ttlSecondsAfterFinished the object may be gone before it was seen at its end. Its Events stay,
# and may come a moment later than it went.
tell_by_events() {
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    events=$(kubectl -n "$namespace" get events --field-selector involvedObject.uid="$uid" --sort-by=.eventTime \
      -o jsonpath='{range .items[*]}{.reason}: {.message}{"\n"}{end}') || break
    # The newest alone: a task that was tracked again after its timeout has an older end.
    end=$(printf '%s\n' "$events" | tail -n 1 | grep -E '^(TaskSucceeded|NodesReady|InstancesFailed|TaskFailed|TaskCanceled|TimedOut): ')
    if [ -n "$end" ]; then
      printf '%s\n' "$task: ${end#*: }"
      case ${end%%: *} in
        NodesReady) exit 0 ;;
        TaskSucceeded) [ "$waits" = true ] && ended_too_soon; exit 0 ;;
        *) exit 1 ;;
      esac
    fi
    sleep 1
  done
  echo "$task was deleted, and no Event says how its task ended" >&2
  exit 4
}

# One look at the object, so that all of it is of one moment.
look() {
  status=$(kubectl -n "$namespace" get "$task" --ignore-not-found -o jsonpath='{.metadata.uid}|{.status.observedGeneration}|{.status.finishedAt}|{.status.conditions[?(@.type=="Ready")].status}|{.status.conditions[?(@.type=="Stalled")].status}|{.status.conditions[?(@.type=="Ready")].reason}|{.status.conditions[?(@.type=="Ready")].message}') || exit 64
  IFS='|' read -r found seen finished ready stalled reason message <<LOOK
$status
LOOK
  [ "$found" = "$uid" ] || tell_by_events
}

# `--for=condition=Ready` alone would sit out its timeout after a failure. finishedAt comes with every end,
# good or bad; what can't be tracked has no end and shows in between. What the status says of an earlier
# spec doesn't count.
look
while [ "$(date +%s)" -lt "$deadline" ]; do
  if [ "${seen:--1}" -lt "$generation" ]; then
    wait_for jsonpath='{.status.observedGeneration}'="$generation" || sleep 1
  else
    wait_for jsonpath='{.status.finishedAt}' || sleep 1
  fi
  look
  if [ "${seen:--1}" -ge "$generation" ] && { [ -n "$finished" ] || [ "$stalled" = True ]; }; then
    break
  fi
done

printf '%s\n' "$task: ${message:-nothing is known yet}"
if [ "${seen:--1}" -lt "$generation" ]; then
  echo "the controller hasn't looked at it: does it run?" >&2
  exit 3
elif [ "$ready" = True ]; then
  [ "$waits" = true ] && [ "$reason" = TaskSucceeded ] && ended_too_soon
  exit 0
elif [ -n "$finished" ]; then
  kubectl -n "$namespace" get "$task" --ignore-not-found \
    -o jsonpath='{range .status.taskResult[?(@.status=="failed")]}failed: {.data}{"\n"}{end}{range .status.taskResult[?(@.nodeReady==false)]}no Ready node: {.data}{"\n"}{end}' >&2
  exit 1
elif [ "$stalled" = True ]; then
  exit 2
fi
exit 3

#!/bin/sh
# Tracks the task whose call's answer is on standard input; exit codes as `kubectl scaleouttask --help` has them.
exec kubectl scaleouttask track - --wait-timeout "${WAIT_TIMEOUT:-30m}" "$@"

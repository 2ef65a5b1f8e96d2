#!/usr/bin/env bash
# Watch an A/B test as a nightly job does: count one file a day, print one line a day, end with the code of the verdict.
#
#     watch_a_test.sh PLAN FOLDER [LEDGER]
#
# FOLDER holds a CSV for each day, named by it (2017-01-02.csv), with the columns arm, n and the plan's metric. Run it as often
# as you like: a day that was counted before is known by its name and content and is not counted again, and a file that was
# changed since is a conflict. Days after the verdict are not sent.
#
# Ends with 0 go on, 10 ship a treatment, 11 keep the control, 12 either, 20 the data cannot be trusted, 2 bad input,
# 3 a conflict with what is stored.
set -euo pipefail
shopt -s nullglob

if (($# < 2 || $# > 3)); then
    echo "usage: watch_a_test.sh PLAN FOLDER [LEDGER]" >&2
    exit 2
fi
plan=$1
folder=$2
export BAYESUPLIFT_LEDGER=${3:-${BAYESUPLIFT_LEDGER:-experiments.db}}
bayesuplift=${BAYESUPLIFT:-bayesuplift}

# Both may be called again by a later run, and must bear it.
end_test() { # the switch of the traffic goes here
    echo "watch_a_test: $experiment ends: $*" >&2
}
call_someone() { # a pager or a chat goes here
    echo "watch_a_test: help needed: $*" >&2
}

# The plan is frozen by the first run; the same plan again changes nothing, and another one is refused.
code=0
started=$("$bayesuplift" monitor start "$plan" --json) || code=$?
if ((code != 0)); then
    call_someone "$plan was not started, code $code"
    exit "$code"
fi
experiment=$(sed -n 's/^ "experiment": "\(.*\)",$/\1/p' <<<"$started")

for file in "$folder"/????-??-??.csv; do
    day=$(basename "$file" .csv)
    look=$("$bayesuplift" monitor update "$experiment" "$file" --batch-id "$day" --at "$day" --json) || code=$?
    verdict=$(sed -n '/^ "verdict": {$/,/^ }/s/^  "sentence": "\(.*\)",\{0,1\}$/\1/p' <<<"$look")
    case $code in
        0 | 10 | 11 | 12 | 20) printf '%s  %2d  %s\n' "$day" "$code" "$verdict" ;;
    esac
    case $code in
        0) continue ;;
        10) end_test "everybody gets the treatment" ;;
        11) end_test "everybody gets the control" ;;
        12) end_test "any arm will do, so take the cheapest" ;;
        20) call_someone "stop $experiment and look for the fault. $verdict" ;;
        2) call_someone "$file cannot be counted; mend it and run this again" ;;
        3) call_someone "$file does not fit what was counted before; find out what changed" ;;
        *) call_someone "bayesuplift ended with $code on $file" ;;
    esac
    break
done
exit "$code"

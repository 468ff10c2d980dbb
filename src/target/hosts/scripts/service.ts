/** Scripts that take a unit out of service and put it back. */
import { COMMON, ENTER, SHOW, SURVEY } from './parts.ts';

/** Arguments: folder, boot id file, epoch, attempt, weights, 1 to cordon. */
export const TAKE_OUT = `
unit=$1 bootfile=$2 epoch=$3 attempt=$4 weights=$5 cordon=$6
${COMMON}${SURVEY}${SHOW}${ENTER}
old= by=
{ read -r old _ <"$unit/service"; } 2>/dev/null
{ read -r by <"$unit/cordoned"; } 2>/dev/null
[ -z "$weights" ] || [ -f "$unit/weights" ] || write weights "$weights"
[ "$old" = "$attempt" ] || write service "$attempt $boot $up"
[ "$cordon" = 0 ] || [ "$by" = "$attempt" ] || write cordoned "$attempt"
# A start of the machine that takes the mark away takes nothing else with it, unless there are weights to put back.
if [ -z "$weights" ] && [ "$cordon" = 0 ] && [ "$seen" = "$epoch" ]; then put; else settle && keep "$unit"; fi
show
echo end
`;

/** Arguments: folder, boot id file, epoch, 1 to leave it cordoned. */
export const PUT_BACK = `
unit=$1 bootfile=$2 epoch=$3 cordoned=$4
${COMMON}${SURVEY}${SHOW}${ENTER}
lasting=
[ ! -f "$unit/weights" ] && [ ! -f "$unit/cordoned" ] || lasting=1
set -- "$unit/service" "$unit/weights"
[ "$cordoned" = 1 ] || set -- "$@" "$unit/cordoned"
rm -f "$@"
settle
[ -z "$lasting" ] || keep "$unit"
show
echo end
`;

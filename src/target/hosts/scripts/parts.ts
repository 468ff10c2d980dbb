/**
 * What runs on the machine of a unit: constant texts for a POSIX sh, values only as arguments. Where all of it lies:
 *
 *     epoch                        the highest epoch of those that acted or looked here
 *     lock                         held by whoever changes something here
 *     applied                      revisions, oldest first, one a line
 *     undo/<revision>/script       what undoes it, below a line of its interpreter and timeout
 *                    /none         nothing does
 *     service                      while it is out of service: the attempt, and since when
 *     weights                      what it had at its load balancer before it was first taken out
 *     cordoned                     while it is cordoned: the attempt that did it
 *     last-<kind>                  the attempt of this kind that was begun last: its id, boot and time, timeout, interpreter
 *     attempts/<kind>-<attempt>/   begun, steps, script: there at once, by one rename
 *                              /claim     made by the one process that may run it
 *                              /applied   revisions as they are from when it runs
 *                              /process   that process, by id and start time
 *                              /alive     held open by it until its end: who reads it waits for that
 *                              /output, output.end    the first and the last of what it printed
 *                              /outcome   there once it has ended
 */

/** Of each script: where the unit is, and what is known of this moment. */
export const COMMON = `
case $unit in /*) ;; *) unit=$HOME/$unit ;; esac
keep() { sync "$@" 2>/dev/null || sync; }
now() { read -r up _ </proc/uptime; up=\${up%%.*}; }
started() {
  start= state=
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
  set -- \${stat##*) }
  state=$1 start=\${20}
}
`;

/** `survey KIND` sets what is known of the last attempt of a kind: `id`, `status`, `code`, `took`, `timed`, `limit`. */
export const SURVEY = `
survey() {
  id= status= code=- took=0 limit=0 timed=-
  { read -r id aboot aup limit _ <"$unit/last-$1"; } 2>/dev/null || return 0
  own=$unit/attempts/$1-$id
  took=$((up - \${aup:-0}))
  if [ -f "$own/outcome" ]; then status=ended
  elif [ ! -f "$own/claim" ]; then
    status=unclaimed
    if [ "$aboot" = "$boot" ] && [ "$took" -ge 0 ] && [ "$took" -lt 10 ]; then status=running; fi
  elif [ "$aboot" != "$boot" ]; then status=rebooted
  else
    pid= pstart=
    { read -r pid pstart <"$own/process"; } 2>/dev/null
    if [ -n "$pid" ]; then started "$pid"; else start= state=; fi
    if [ -n "$start" ] && [ "$start" = "$pstart" ] && [ "$state" != Z ]; then status=running
    elif [ -f "$own/outcome" ]; then status=ended
    elif [ -z "$pid" ] && [ "$took" -ge 0 ] && [ "$took" -lt 10 ]; then status=running
    else status=gone
    fi
  fi
  if [ "$status" = ended ]; then read -r code took timed _ <"$own/outcome"; fi
}
read -r boot <"$bootfile"
now
`;

export const SHOW = `
line() { if [ -f "$2" ]; then read -r text <"$2" || :; printf '%s %s\\n' "$1" "$text"; fi; }
show() {
  printf 'boot %s\\n' "$boot"
  line epoch "$unit/epoch"
  if [ -f "$unit/applied" ]; then
    printf applied
    while read -r text; do printf ' %s' "$text"; done <"$unit/applied"
    echo
  fi
  printf undo
  for text in "$unit"/undo/*/script; do
    if [ -f "$text" ]; then text=\${text%/*}; printf ' %s' "\${text##*/}"; fi
  done
  echo
  if [ -f "$unit/service" ]; then
    read -r text oboot oup <"$unit/service"
    if [ "$oboot" = "$boot" ]; then since=$((up - oup)); else since=99999; fi
    printf 'out %s %s\\n' "$text" "$since"
  fi
  line weights "$unit/weights"
  line cordoned "$unit/cordoned"
  for kind in update drain undrain; do
    survey "$kind"
    if [ -n "$id" ]; then
      printf 'attempt %s %s %s %s %s %s %s\\n' "$kind" "$id" "$status" "$code" "$took" "$timed" "$limit"
      if [ "$status" = ended ]; then
        { read -r text; IFS= read -r said; IFS= read -r note; } <"$own/outcome"
        printf 'said %s\\nnote %s\\n' "$said" "$note"
      fi
    fi
  done
}
`;

/** `locked`: holds the lock of the open file 9, within 20 s. The flock of busybox knows no -w. */
export const LOCKED = `
locked() {
  tries=0
  until flock -n 9 2>/dev/null; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || return 1
    sleep 0.1 2>/dev/null || { sleep 1; tries=$((tries + 9)); }
  done
}
`;

/** `later A B`: epochs have thousandths at most, which no test of a shell knows: 7.01 is 7010 thousandths. */
export const EPOCHS = `
thousandths() {
  whole=\${1%%.*} part=
  [ "$whole" = "$1" ] || part=\${1#*.}
  while [ "\${#part}" -lt 3 ]; do part=\${part}0; done
  thousandths=$whole$part
}
later() {
  thousandths "\${1:-0}"
  set -- "$thousandths" "$2"
  thousandths "$2"
  [ "$1" -gt "$thousandths" ]
}
`;

/** Alone here from now on, and only if no later operator has been here. `write` and `settle` leave a whole file or none. */
export const ENTER = `${EPOCHS}${LOCKED}
umask 077
[ -d "$unit/attempts" ] && [ -d "$unit/undo" ] || mkdir -p "$unit/attempts" "$unit/undo" || exit 1
exec 9>"$unit/lock"
locked || { echo 'somebody else has been changing this unit for 20 s' >&2; exit 1; }
seen=0 written=
{ read -r seen <"$unit/epoch"; } 2>/dev/null
if later "$seen" "$epoch"; then printf 'stale %s\\n' "$seen"; exit 0; fi
write() { printf '%s\\n' "$2" >"$unit/$1.new" && written="$written $1" || exit 1; }
put() {
  for one in $written; do mv "$unit/$one.new" "$unit/$one" || exit 1; done
  written=
}
settle() {
  [ -n "$written" ] || return 0
  (cd "$unit" && set -- && for one in $written; do set -- "$@" "$one.new"; done && keep "$@") || exit 1
  put
}
[ "\${seen:-0}" = "$epoch" ] || write epoch "$epoch"
`;

/** `top`, of `all` the `count` revisions that are applied. */
export const TOP = `
top() {
  top= all= count=0
  [ ! -f "$unit/applied" ] || while read -r one; do top=$one all="$all $one" count=$((count + 1)); done <"$unit/applied"
}
`;

/** Waits until all that was printed lies in files; not for what has left something running that holds its output open. */
export const FLUSHED = `
flushed() {
  tries=0
  while [ ! -f "$own/flushed" ] && [ "$tries" -lt 50 ]; do
    sleep 0.02 2>/dev/null || { sleep 1; tries=49; }
    tries=$((tries + 1))
  done
}
`;

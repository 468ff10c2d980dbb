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

import { quote } from './shell.ts';

/** Of each script: where the unit is, and what is known of this moment. */
const COMMON = `
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
const SURVEY = `
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

const SHOW = `
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

/** For prechecks: it needs nothing and leaves nothing. */
const DETAILS = `
details() {
  for program in setsid timeout flock mkfifo sync env head tail sed mktemp; do
    command -v "$program" >/dev/null 2>&1 || printf 'lacks %s\\n' "$program"
  done
  for program in pwsh powershell powershell.exe cmd.exe; do
    command -v "$program" >/dev/null 2>&1 && printf 'has %s\\n' "$program"
  done
  place=$unit
  while [ ! -d "$place" ]; do place=\${place%/*}; [ -n "$place" ] || place=/; done
  [ -w "$place" ] || printf 'unwritable %s\\n' "$place"
  df -Pk "$place" 2>/dev/null | { read -r _; read -r _ size _ free _ && printf 'disk %s %s\\n' "$size" "$free"; }
  while read -r name amount _; do
    case $name in MemTotal: | MemAvailable:) printf 'memory %s %s\\n' "$name" "$amount" ;; esac
  done </proc/meminfo
  { read -r _; while read -r name _ amount used _; do printf 'swap %s %s %s\\n' "$amount" "$used" "$name"; done; } </proc/swaps
  read -r one _ </proc/loadavg
  printf 'load %s %s\\n' "$one" "$(getconf _NPROCESSORS_ONLN 2>/dev/null || grep -c ^processor /proc/cpuinfo)"
  printf 'clock %s\\n' "$(date +%s)"
  command -v openssl >/dev/null 2>&1 || return 0
  for file in $patterns; do
    [ -r "$file" ] || continue
    ends=$(openssl x509 -noout -enddate -in "$file" 2>/dev/null) && printf 'certificate %s\\t%s\\n' "\${ends#notAfter=}" "$file"
  done
}
`;

/** `later A B`: epochs have thousandths at most, which no test of a shell knows: 7.01 is 7010 thousandths. */
const EPOCHS = `
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

/**
 * `claim`: what an earlier operator begins from now on is refused here. Where nothing was ever done nothing is left, and what cannot
 * be written is left to who acts.
 */
const CLAIM = `
claim() (
  [ -d "$unit" ] || return 0
  seen=
  { read -r seen <"$unit/epoch"; } 2>/dev/null
  later "$epoch" "$seen" || return 0
  umask 077
  { exec 9>"$unit/lock" && flock -w 20 9; } 2>/dev/null || return 0
  { read -r seen <"$unit/epoch"; } 2>/dev/null
  later "$epoch" "$seen" || return 0
  { printf '%s\\n' "$epoch" >"$unit/epoch.new" && mv "$unit/epoch.new" "$unit/epoch"; } 2>/dev/null
)
`;

/**
 * Changes nothing, but takes the unit over for a later epoch. Arguments: folder, boot id file, epoch, seconds to wait for the end of what runs, patterns of certificates or
 * empty for no details, seconds for the version command, and that command.
 */
export const LOOK = `
unit=$1 bootfile=$2 epoch=$3 wait=$4 patterns=$5 limit_version=$6
shift 6
${COMMON}${SURVEY}${SHOW}${DETAILS}${EPOCHS}${CLAIM}
claim
if [ "$wait" -gt 0 ]; then
  for kind in update drain undrain; do
    survey "$kind"
    if [ "$status" = running ]; then
      # What has only just been claimed has nothing to wait on yet.
      [ -p "$own/alive" ] || sleep 0.1 2>/dev/null || sleep 1
      until=$((up + wait))
      # In slices: what was killed just now cannot be waited on.
      while [ "$status" = running ] && [ "$up" -lt "$until" ] && [ -p "$own/alive" ]; do
        timeout 3 cat "$own/alive" >/dev/null 2>&1
        now
        survey "$kind"
      done
      break
    fi
  done
fi
show
if [ $# -gt 0 ]; then
  said=$(cd "$HOME" && timeout "$limit_version" "$@" </dev/null 2>&1)
  code=$?
  printf 'version %s %s\\n' "$code" "$(printf '%s\\n' "$said" | sed '/^[[:space:]]*$/d' | if [ "$code" = 0 ]; then head -n 1; else tail -n 1; fi)"
fi
[ -z "$patterns" ] || details
echo end
`;

/** Arguments: folder, epoch. */
export const CHECK = `
unit=$1 epoch=$2
${COMMON}${EPOCHS}
seen=
{ read -r seen <"$unit/epoch"; } 2>/dev/null
if later "$seen" "$epoch"; then printf 'stale %s\\n' "$seen"; else echo end; fi
`;

/** Alone here from now on, and only if no later operator has been here. `write` and `settle` leave a whole file or none. */
const ENTER = `${EPOCHS}
umask 077
[ -d "$unit/attempts" ] && [ -d "$unit/undo" ] || mkdir -p "$unit/attempts" "$unit/undo" || exit 1
exec 9>"$unit/lock"
flock -w 20 9 || { echo 'somebody else has been changing this unit for 20 s' >&2; exit 1; }
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

/** `top`, of `all` the `count` revisions that are applied. */
const TOP = `
top() {
  top= all= count=0
  [ ! -f "$unit/applied" ] || while read -r one; do top=$one all="$all $one" count=$((count + 1)); done <"$unit/applied"
}
`;

/** Waits until all that was printed lies in files; not for what has left something running that holds its output open. */
const FLUSHED = `
flushed() {
  tries=0
  while [ ! -f "$own/flushed" ] && [ "$tries" -lt 50 ]; do
    sleep 0.02 2>/dev/null || { sleep 1; tries=49; }
    tries=$((tries + 1))
  done
}
`;

/** Runs the steps of one attempt, once: whoever makes the file `claim` is the one. A connection that drops is nothing to it. */
const RUNNER = `
unit=$1 own=$2 cwd=$3 mask=$4
shift 4
umask 077
${COMMON}
set -C
{ true >"$own/claim"; } 2>/dev/null || exit 0
set +C
now
from=$up
mkfifo "$own/alive" "$own/pipe" || exit 1
exec 7<>"$own/alive"
started $$
printf '%s %s\\n' $$ "$start" >"$own/process" || exit 1
read -r _ _ limit interpreter <"$own/begun"
slow=
command -v stdbuf >/dev/null && slow='stdbuf -o0'
{
  $slow head -c 524288 >"$own/output"
  tail -c 65536 >"$own/output.end" || cat >/dev/null
  : >"$own/flushed"
} <"$own/pipe" 2>/dev/null 3>&- 7>&- &
exec 8>"$own/pipe"
ending() { case $1 in powershell) ext=ps1 ;; bat) ext=bat ;; *) ext=sh ;; esac; }
execute() {
  file=$1 how=$2 seconds=$3
  shift 3
  case $how in
    powershell) set -- "$@" "$(command -v pwsh || command -v powershell || command -v powershell.exe || echo pwsh)" -NoProfile -NonInteractive -File "$file" ;;
    bat) set -- "$@" cmd.exe /c "$file" ;;
    *) set -- "$@" sh "$file" ;;
  esac
  exec 3>&-
  now
  began=$up
  (
    cd "\${cwd:-$HOME}" && umask "$mask" && exec timeout -k 10 "$seconds" env -i PATH="$PATH" HOME="$HOME" \\
      \${USER:+"USER=$USER"} \${LOGNAME:+"LOGNAME=$LOGNAME"} \${SHELL:+"SHELL=$SHELL"} \${LANG:+"LANG=$LANG"} \${LC_ALL:+"LC_ALL=$LC_ALL"} \\
      \${TZ:+"TZ=$TZ"} \${TMPDIR:+"TMPDIR=$TMPDIR"} "$@"
  ) </dev/null >&8 2>&8 7>&- 8>&-
  code=$?
  now
  case $code in 124 | 137) [ $((up - began)) -lt $((seconds - 1)) ] || timed=$seconds ;; esac
}
${TOP}
# That it is begun and claimed has to be durable before anything is run.
begun() { keep "$own" "$unit/attempts" "$unit/undo" "$unit"; }
push() { { [ ! -f "$own/applied" ] || mv "$own/applied" "$unit/applied"; } && begun; }
pop() {
  sed '$d' "$unit/applied" >"$unit/applied.new" && keep "$unit/applied.new" && mv "$unit/applied.new" "$unit/applied" &&
    keep "$unit" && rm -rf "$unit/undo/$1"
}
add() { note="$note\${note:+; }$1"; }
${FLUSHED}
code=0 note= timed=-
while read -r verb revision; do
  case $verb in
    run)
      if push; then ending "$interpreter"; execute "$own/script.$ext" "$interpreter" "$limit" "$@" "SLUICE_REVISION=$revision"
      else code=74; add 'nothing was run: it could not be recorded'; fi ;;
    command) begun; execute "$own/script.sh" sh "$limit" "$@" ;;
    undo)
      top
      if [ "$top" != "$revision" ]; then add "revision $revision is not on top, so nothing was undone for it"; continue; fi
      if [ -f "$unit/undo/$revision/script" ]; then
        {
          read -r how seconds && ending "$how" && cat >"$own/undo-$revision.$ext" && begun
        } <"$unit/undo/$revision/script" || { code=74 ; add 'nothing was run: it could not be recorded'; break; }
        execute "$own/undo-$revision.$ext" "$how" "$seconds" "$@" "SLUICE_REVISION=$revision"
      else add "revision $revision has no rollback script here, so nothing was run for it"; fi
      if [ "$code" = 0 ]; then pop "$revision" || { code=74; add 'what was undone could not be recorded'; }; fi ;;
  esac
  [ "$code" = 0 ] || break
done <"$own/steps"
exec 8>&-
said=
if [ "$code" != 0 ]; then
  flushed
  for file in "$own/output.end" "$own/output"; do
    [ -n "$said" ] || said=$(tail -c 2000 "$file" 2>/dev/null | tr -d '\\000-\\010\\013-\\037\\177' | sed '/^[[:space:]]*$/d' | tail -n 1)
  done
fi
now
printf '%s %s %s\\n%s\\n%s\\n' "$code" "$((up - from))" "$timed" "$said" "$note" >"$own/outcome.new"
keep "$own/outcome.new"
mv "$own/outcome.new" "$own/outcome"
exec 7>&-
rm -f "$own/alive" "$own/pipe"
`;

/**
 * Arguments: folder, boot id file, epoch, kind, attempt, timeout in seconds, interpreter, working directory, steps one a
 * line, script, revision whose undo is to be stored or empty, that undo, 1 where there is one, the attempt that takes it
 * out of service with this or empty, and NAME=value ...
 */
export const BEGIN = `
unit=$1 bootfile=$2 epoch=$3 kind=$4 id=$5 limit=$6 interpreter=$7 cwd=$8 steps=$9
script=\${10} revision=\${11} undo=\${12} undoable=\${13} out=\${14} runner=${quote(RUNNER)}
shift 14
mask=$(umask)
${COMMON}${SURVEY}${SHOW}${ENTER}${TOP}
want=$kind asked=$id wanted=$limit
for kind in update drain undrain; do
  survey "$kind"
  if [ "$status" = running ] && [ "$kind-$id" != "$want-$asked" ]; then printf 'busy %s %s\\n' "$kind" "$id"; show; echo end; exit 0; fi
done
kind=$want id=$asked limit=$wanted
name=$kind-$id
own=$unit/attempts/$name
ending() { case $1 in powershell) ext=ps1 ;; bat) ext=bat ;; *) ext=sh ;; esac; }
if [ ! -f "$own/claim" ]; then
  # What was not claimed has run nothing, and may not have come through whole: it is made anew.
  cd "$unit" || exit 1
  ending "$interpreter"
  # Only what matters after the machine failed has to be durable: what was claimed by then is not run any more.
  files= made=attempts/.new
  if [ -n "$revision" ] && [ ! -d "undo/$revision" ]; then made="$made undo/.new"; else revision=; fi
  [ ! -e attempts/.new ] && [ ! -e attempts/.old ] && [ ! -e undo/.new ] || rm -rf attempts/.new attempts/.old undo/.new
  mkdir $made || exit 1
  if [ -n "$revision" ]; then
    if [ "$undoable" = 1 ]; then file=undo/.new/script; else file=undo/.new/none; fi
    printf '%s %s\\n%s' "$interpreter" "$limit" "$undo" >"$file" || exit 1
    files="$file undo/.new"
  fi
  case $steps in
    run*)
      top
      if [ "$top" != "\${steps#run }" ]; then
        [ "$count" -lt 100 ] || all=\${all#* * }
        printf '%s\\n' $all "\${steps#run }" >attempts/.new/applied || exit 1
        files="$files attempts/.new/applied"
      fi ;;
    undo*)
      limit=$(printf '%s\\n' "$steps" | { sum=0; while read -r _ r; do one=0; { read -r _ one <"undo/$r/script"; } 2>/dev/null; sum=$((sum + one)); done; echo "$sum"; }) ;;
  esac
  printf %s "$script" >"attempts/.new/script.$ext" && printf %s "$runner" >attempts/.new/runner &&
    printf '%s\\n' "$steps" >attempts/.new/steps &&
    printf '%s %s %s %s\\n' "$boot" "$up" "$limit" "$interpreter" >attempts/.new/begun || exit 1
  write "last-$kind" "$id $boot $up $limit $interpreter"
  if [ -n "$out" ]; then
    old=
    { read -r old _ <"$unit/service"; } 2>/dev/null
    [ "$old" = "$out" ] || write service "$out $boot $up"
  fi
  for one in $written; do [ "$one" = service ] || files="$files $one.new"; done
  keep $files
  put
  if [ -n "$revision" ]; then mv undo/.new "undo/$revision" || exit 1; fi
  if [ -d "$own" ]; then mv "$own" attempts/.old || exit 1; fi
  mv attempts/.new "$own" || exit 1
  # Ends when the runner closes 3: what must be recorded before its first script is, or it is gone.
  : "$(setsid sh "$own/runner" "$unit" "$own" "$cwd" "$mask" "$@" </dev/null 3>&1 >/dev/null 2>&1 9>&- &)"
  set -- attempts/*
  if [ $# -gt 10 ]; then
    for old in $(ls -t attempts | tail -n +11); do
      used=
      for one in update drain undrain; do
        { read -r text _ <"last-$one"; } 2>/dev/null || text=
        [ "$old" != "$one-$text" ] || used=1
      done
      [ -n "$used" ] || rm -rf "attempts/$old"
    done
  fi
else
  survey "$kind"
  if [ "$id" != "$asked" ]; then
    { read -r text <"$unit/attempts/$name/begun"; } 2>/dev/null || text='lost 0 0 sh'
    write "last-$kind" "$asked $text"
    settle
  fi
fi
now
show
echo end
`;

/** Arguments: folder. What was kept of the last attempts, oldest first. */
export const LOGS = `
unit=$1
${COMMON}${FLUSHED}
cd "$unit/attempts" 2>/dev/null || exit 0
ls -tr | while read -r name; do
  [ -f "$name/claim" ] || continue
  own=$name
  [ ! -f "$name/outcome" ] || flushed
  printf '==> %s <==\\n' "$name"
  [ ! -f "$name/output" ] || cat "$name/output"
  if [ -s "$name/output.end" ]; then
    printf '\\n... only the first and the last of it are kept ...\\n'
    cat "$name/output.end"
  fi
done
`;

/** Scripts that look at a unit's machine, and change nothing of what runs there. */
import { COMMON, EPOCHS, FLUSHED, LOCKED, SHOW, SURVEY } from './parts.ts';

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
  { exec 9>"$unit/lock" && locked; } 2>/dev/null || return 0
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
${COMMON}${SURVEY}${SHOW}${DETAILS}${EPOCHS}${LOCKED}${CLAIM}
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

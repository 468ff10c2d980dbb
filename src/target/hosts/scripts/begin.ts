/** The script that begins an attempt, and the one that runs its steps from then on. */
import { quote } from '../shell.ts';
import { COMMON, ENTER, FLUSHED, SHOW, SURVEY, TOP } from './parts.ts';

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

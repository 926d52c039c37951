# Completion of cnntrain, for bash 4.4 or newer.
_cnntrain() {
    local line=${COMP_LINE:0:COMP_POINT} answer candidate word before
    if ! answer=$("${1/#\~/$HOME}" completion --answer "$line" 2> /dev/null); then
        compopt -o default # a path may stand here
        return
    fi
    # Bash takes = and : for ends of words, and replaces only what follows them.
    word=${line##*[[:space:]]}
    before=${word%"$2"}
    while IFS=$'\t' read -r candidate _; do
        [[ -n $candidate ]] && COMPREPLY+=("${candidate#"$before"}")
    done <<< "$answer"
    [[ ${COMPREPLY[0]-} == *[=.] ]] && compopt -o nospace
}
complete -F _cnntrain cnntrain

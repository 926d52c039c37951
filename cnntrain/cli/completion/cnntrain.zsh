#compdef cnntrain
# Completion of cnntrain, for zsh.
_cnntrain() {
    local answer line word
    local -a open closed shown
    if ! answer=$(${~words[1]} completion --answer "${(j: :)words[1,CURRENT-1]} $PREFIX" 2> /dev/null); then
        compset -P '*=' # a path may stand here
        _files
        return
    fi
    for line in ${(f)answer}; do
        word=${line%%$'\t'*}
        if [[ $word == *[=.] ]]; then
            open+=($word)
        else
            closed+=($word)
            shown+=("${${line/$'\t'/  }[1,COLUMNS-1]}")
        fi
    done
    compadd -S '' -a open
    if [[ $answer == *$'\t'* ]]; then
        compadd -l -d shown -a closed
    else
        compadd -a closed
    fi
}
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then
    _cnntrain "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
    compdef _cnntrain cnntrain
fi

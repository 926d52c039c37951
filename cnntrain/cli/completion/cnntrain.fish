# Completion of cnntrain, for fish.
function __cnntrain_complete
    set --local words (commandline --current-process --tokenize --cut-at-cursor)
    set --local program (string replace --regex '^~/' "$HOME/" -- $words[1])
    set --local line (commandline --current-process --cut-at-cursor | string collect)
    set --local answer ($program completion --answer $line 2>/dev/null)
    if test $status -eq 0
        printf '%s\n' $answer
    else
        # A path may stand here, alone or behind the = of a setting.
        set --local token (commandline --current-token --cut-at-cursor)
        set --local before (string match --regex '^[^=]*=' -- $token)
        for path in (__fish_complete_path (string replace --regex '^[^=]*=' '' -- $token))
            echo "$before$path"
        end
    end
end
complete --command cnntrain --no-files --arguments '(__cnntrain_complete)'

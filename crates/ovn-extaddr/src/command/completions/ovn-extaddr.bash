# Bash completion of BINARY, which asks the program.

FUNCTION() {
    # Readline takes a word apart at each character of COMP_WORDBREAKS, and replaces only the last piece. The program is
    # given the words that blanks part, up to the cursor: names of instances have colons.
    local rest=${COMP_LINE:0:COMP_POINT} words=() blanks piece place
    for ((place = 0; place <= COMP_CWORD; place++)); do
        blanks=${rest%%[![:space:]]*}
        rest=${rest#"$blanks"}
        if ((place < COMP_CWORD)); then piece=${COMP_WORDS[place]}; else piece=$rest; fi
        rest=${rest#"$piece"}
        if ((place > 0)) && [[ -z $blanks ]]; then
            words[${#words[@]} - 1]+=$piece
        else
            words+=("$piece")
        fi
    done
    mapfile -t COMPREPLY < <(VARIABLE=bash COMPLETER -- "${words[@]}" 2>/dev/null)
    # What Readline does not replace must not come a second time.
    local kept=${words[${#words[@]} - 1]%"$2"}
    COMPREPLY=("${COMPREPLY[@]#"$kept"}")
    # More is to come after these.
    if [[ ${COMPREPLY-} == *[=/:] ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -o bashdefault -o nosort -F FUNCTION BINARY 2>/dev/null || complete -o bashdefault -F FUNCTION BINARY

"""kgen: lists the commands, their versions, and writes completions for a shell. `kgen train …` is `kgen-train …`."""

import importlib
import sys
from collections.abc import Sequence

from kgen.cli.command import WIDTH, Command, listed
from kgen.errors import UserError
from kgen.progress import width
from kgen.registry import nearest

COMMANDS = ("train", "sweep", "sample", "eval", "explore", "compare", "report", "data", "divergence", "export", "serve")
SHELLS = ("bash", "zsh")
EXAMPLES = (
    ("kgen", "the commands, and what each does"),
    ("kgen --version", "versions of kgen and of the libraries that results depend on"),
    ('eval "$(kgen --completion bash)"', "completes commands and flags in this shell; a line for ~/.bashrc"),
)


class _Overview(Command):
    """The command line of `kgen`, whose help begins with all commands."""

    def help(self, width: int = WIDTH) -> str:
        head, rest = super().help(width).split("\n\n", 1)
        return f"{head}\n\n{overview(width)}\n{rest}"


def command() -> Command:
    """The command line."""
    summary = "list the commands; kgen COMMAND [flags] runs one, as kgen-COMMAND does."
    cmd = _Overview("kgen", summary, EXAMPLES, ("[COMMAND]",))
    cmd.flag("Output", "boolean", "version", False, "Print versions.")
    cmd.flag("Output", "enum", "completion", None, "Print completions for a shell.", enum_values=list(SHELLS))
    return cmd


def commands() -> dict[str, Command]:
    """Name of each program -> its command line."""
    found = [importlib.import_module(f"kgen.cli.{name}").command() for name in COMMANDS]
    return {cmd.name: cmd for cmd in [*found, command()]}


def overview(width: int = WIDTH) -> str:
    """The commands with what they do, by name, in lines of so many columns."""
    summaries = {name: cmd.summary for name, cmd in commands().items() if name != "kgen"}
    lines = listed(summaries, width, 2)
    return "\n".join(["Commands:", *lines, "", "Each explains itself: kgen-train --help"]) + "\n"


def completion(shell: str) -> str:
    """A script that completes the flags of every command, the values of those that have few, and paths."""
    cases = []
    for name, cmd in commands().items():
        flags = " ".join(f"--{flag}" for flag in cmd.texts)
        values = {flag: _values(cmd, flag) for flag in cmd.texts}
        cases += [f"    {name}:--{flag}) words='{words}' ;;" for flag, words in values.items() if words]
        cases += [f"    {name}:*) flags='{flags}' ;;"]
    names = " ".join(commands())
    zsh = """(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
autoload -Uz bashcompinit && bashcompinit
"""
    return f"""{zsh if shell == "zsh" else ""}_kgen() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" program="${{COMP_WORDS[0]##*/}}"
  local flags='' words='' prefix='' last=''
  if [[ $program == kgen && $COMP_CWORD -gt 1 && ${{COMP_WORDS[1]}} != -* ]]; then program="kgen-${{COMP_WORDS[1]}}"; fi
  if [[ $word == '=' ]]; then word=''
  elif [[ $before == '=' ]]; then before="${{COMP_WORDS[COMP_CWORD-2]}}"
  elif [[ $word == --*=* ]]; then before="${{word%%=*}}" prefix="${{word%%=*}}=" word="${{word#*=}}"; fi
  case "$program:$before" in
{chr(10).join(cases)}
  esac
  COMPREPLY=()
  if [[ -n $words ]]; then
    last="${{word##*,}}" prefix="$prefix${{word%"${{word##*,}}"}}"
    COMPREPLY=($(compgen -P "$prefix" -W "$words" -- "$last"))
  elif [[ $word == -* ]]; then COMPREPLY=($(compgen -W "$flags" -- "$word"))
  elif [[ $program == kgen ]]; then COMPREPLY=($(compgen -W '{" ".join(COMMANDS)}' -- "$word")); fi
}}
complete -o default -F _kgen {names}
"""


def _values(cmd: Command, flag: str) -> str:
    """The values of a flag with blanks between, without the marks of its help; "" where it takes any."""
    from kgen.recipes import RECIPES

    help = cmd.texts[flag]
    if cmd.kinds[flag] == "enum":
        return help.metavar.replace("|", " ")
    names = help.names() if help.names else RECIPES if flag == "recipe" else ()
    return " ".join(name.rstrip("*") for name in names)


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in COMMANDS:
        return importlib.import_module(f"kgen.cli.{words[0]}").main(words[1:])
    cmd = command()

    def body(name: str = ""):
        if name:
            raise UserError(f"there is no command {name!r}: {nearest(name, COMMANDS)}")
        if cmd["completion"]:
            print(completion(cmd["completion"]), end="")
        elif cmd["version"]:
            from kgen.environment import versions

            print("\n".join(f"{name} {version}" for name, version in versions().items()))
        else:
            print(overview(min(WIDTH, width(WIDTH))), end="")

    return cmd.run(body, words)

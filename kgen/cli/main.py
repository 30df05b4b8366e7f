"""kgen: lists the commands, their versions, and writes completions for a shell. `kgen train …` is `kgen-train …`."""

import importlib
import sys
from collections.abc import Sequence

from kgen.cli.command import Command

COMMANDS = ("train", "sweep", "sample", "eval", "explore", "compare", "report", "data", "divergence", "export", "serve")
SHELLS = ("bash", "zsh")
EXAMPLES = (
    ("kgen", "the commands, and what each does"),
    ("kgen --version", "versions of kgen and of the libraries that results depend on"),
    ('eval "$(kgen --completion bash)"', "completes commands and flags in this shell; a line for ~/.bashrc"),
)


def command() -> Command:
    """The command line."""
    cmd = Command("kgen", "list the commands; kgen COMMAND [flags] runs one, as kgen-COMMAND does.", EXAMPLES)
    cmd.flag("Output", "boolean", "version", False, "Print versions.")
    cmd.flag("Output", "enum", "completion", None, "Print completions for a shell.", enum_values=list(SHELLS))
    return cmd


def commands() -> dict[str, Command]:
    """Name of each program -> its command line."""
    found = [importlib.import_module(f"kgen.cli.{name}").command() for name in COMMANDS]
    return {cmd.name: cmd for cmd in [*found, command()]}


def overview() -> str:
    """The commands with what they do, by name."""
    listed = {name: cmd.summary for name, cmd in commands().items() if name != "kgen"}
    lines = [f"  {name:16}{summary}" for name, summary in listed.items()]
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
    zsh = "autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    return f"""{zsh}_kgen() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" flags='' words=''
  case "${{COMP_WORDS[0]##*/}}:$before" in
{chr(10).join(cases)}
  esac
  COMPREPLY=()
  if [[ -n $words ]]; then COMPREPLY=($(compgen -W "$words" -- "$word"))
  elif [[ $word == -* ]]; then COMPREPLY=($(compgen -W "$flags" -- "$word")); fi
}}
complete -o default -F _kgen {names}
"""


def _values(cmd: Command, flag: str) -> str:
    """The values of a flag with blanks between; "" where there are many, or several may be given."""
    help = cmd.texts[flag]
    if cmd.kinds[flag] == "enum":
        return help.metavar.replace("|", " ")
    return " ".join(help.names()) if help.names and cmd.kinds[flag] == "string" else ""


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in COMMANDS:
        return importlib.import_module(f"kgen.cli.{words[0]}").main(words[1:])
    cmd = command()

    def body():
        if cmd["completion"]:
            print(completion(cmd["completion"]), end="")
        elif cmd["version"]:
            from kgen.environment import versions

            print("\n".join(f"{name} {version}" for name, version in versions().items()))
        else:
            print(overview(), end="")

    return cmd.run(body, words)

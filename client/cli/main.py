"""`ostiary`: the user's commands and, below `ostiary admin`, the administrator's.

What is spelt plainly, and help, come without typer (``client.cli.plain``, ``client.cli.help_pages``): these commands run all
day, in scripts and prompts. Everything else (mistakes, other spellings, `ostiary admin`) goes to typer.
"""

import sys

from client.cli import help_pages, plain


def main() -> None:
    """The console script."""
    arguments = sys.argv[1:]
    try:
        code = plain.run(arguments)
        page = help_pages.page(arguments) if code is None else None
        if page is not None:
            sys.stdout.write(page + "\n")
            code = 0
        elif code is None and arguments[:1] == ["admin"]:
            from client.cli import admin

            admin.build(arguments[1:])(arguments[1:], prog_name="ostiary admin")
        elif code is None:
            from client.cli.commands import app

            app(arguments, prog_name="ostiary")
    except BrokenPipeError:
        # The reader (head, less) has what it wanted.
        sys.stderr.close()
        code = 0
    except KeyboardInterrupt:
        code = 130
    raise SystemExit(code)


if __name__ == "__main__":
    main()

"""The Language Server Protocol spoken with a real server process, in plain JSON-RPC."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HEADER = "Content-Length: "


class Client:
    """A server process and what was said to it; requests are answered in order."""

    def __init__(self, *arguments: str, folder: Path | None = None, encodings: tuple[str, ...] = ()) -> None:
        command = [sys.executable, "-m", "cldfc", "lsp", *arguments]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe)
        self.number = 0
        self.notified: list[dict] = []
        self.uri = ""
        general = {"positionEncodings": list(encodings)} if encodings else {}
        capabilities = {"general": general}
        self.server = self.ask("initialize", processId=None, rootUri=None, capabilities=capabilities)
        self.tell("initialized")

    def send(self, message: dict) -> None:
        data = json.dumps({"jsonrpc": "2.0", **message}, ensure_ascii=False).encode()
        assert self.process.stdin
        self.process.stdin.write(f"{HEADER}{len(data)}\r\n\r\n".encode() + data)
        self.process.stdin.flush()

    def receive(self) -> dict:
        assert self.process.stdout and self.process.stderr
        length = 0
        while (line := self.process.stdout.readline().decode().strip()) or not length:
            assert line, self.process.stderr.read().decode()
            length = int(line.removeprefix(HEADER)) if line.startswith(HEADER) else length
        return json.loads(self.process.stdout.read(length))

    def tell(self, method: str, **params) -> None:
        self.send({"method": method, "params": params})

    def ask(self, method: str, **params):
        self.number += 1
        self.send({"id": self.number, "method": method, "params": params})
        return next(message for message in self.answers() if message.get("id") == self.number)["result"]

    def answers(self) -> Iterator[dict]:
        while True:
            message = self.receive()
            assert "error" not in message, message
            if "method" in message:
                self.notified.append(message)
            yield message

    def diagnostics(self) -> list[dict]:
        """The errors that the server publishes next."""
        while not self.notified:
            next(self.answers())
        message = self.notified.pop(0)
        assert message["method"] == "textDocument/publishDiagnostics"
        return message["params"]["diagnostics"]

    # Documents

    def open(self, path: Path, text: str) -> list[dict]:
        """Open a document in place of the last one; what is wrong with it."""
        if self.uri:
            self.tell("textDocument/didClose", textDocument={"uri": self.uri})
            assert self.diagnostics() == []
        self.uri, self.version = path.as_uri(), 1
        document = {"uri": self.uri, "languageId": "cldf", "version": 1, "text": text}
        self.tell("textDocument/didOpen", textDocument=document)
        return self.diagnostics()

    def change(self, *texts: str) -> list[dict]:
        """Change the document several times without a pause; what is wrong then."""
        for text in texts:
            self.version += 1
            document = {"uri": self.uri, "version": self.version}
            self.tell("textDocument/didChange", textDocument=document, contentChanges=[{"text": text}])
        return self.diagnostics()

    def at(self, feature: str, line: int, character: int):
        position = {"line": line, "character": character}
        return self.ask(f"textDocument/{feature}", textDocument={"uri": self.uri}, position=position)

    def hover(self, line: int, character: int) -> str:
        return (self.at("hover", line, character) or {"contents": {"value": ""}})["contents"]["value"]

    def format(self) -> list[dict]:
        options = {"tabSize": 4, "insertSpaces": True}
        return self.ask("textDocument/formatting", textDocument={"uri": self.uri}, options=options)

    def leave(self) -> int:
        """Shut the server down; give its exit code."""
        assert self.ask("shutdown") is None
        self.tell("exit")
        return self.process.wait(10)

"""`cldfc lsp`: a language server on standard input and output."""

from __future__ import annotations

import asyncio

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from cldfc.diagnostics import CldfError, Source, UsageError
from cldfc.lsp.completion import completions
from cldfc.lsp.cursor import definitions
from cldfc.lsp.documents import Document, Documents, Positions, lsp_diagnostics
from cldfc.lsp.hover import hover_text
from cldfc.syntax.arrange import format_source
from cldfc.syntax.format import Spelling


def _formatting(source: Source, spelling: Spelling, encoding: str) -> list[types.TextEdit]:
    """The edits that format a document; none if it has errors, which are reported anyway."""
    try:
        text = format_source(source, spelling)
    except (CldfError, UsageError):
        return []
    whole = Positions(source.text, encoding).range(0, len(source.text))
    return [] if text == source.text else [types.TextEdit(whole, text)]


_Question = types.HoverParams | types.DefinitionParams | types.CompletionParams
_PAUSE = 0.15
"""Seconds without a change before diagnostics are published: nobody reads them while typing."""


class CldfServer(LanguageServer):
    def __init__(self, spelling: Spelling, version: str) -> None:
        # Each change sends the whole document: specs are short, and no edit can be misplaced by odd line endings.
        sync = types.TextDocumentSyncKind.Full
        super().__init__("cldfc", version, sync)  # pyright: ignore[reportUnknownMemberType]
        self.spelling: Spelling = spelling
        self.documents = Documents()

    @property
    def encoding(self) -> str:
        return self.workspace.position_encoding or types.PositionEncodingKind.Utf16

    def document(self, uri: str, is_stale: bool = False) -> Document:
        text = self.workspace.get_text_document(uri)
        return self.documents.read(uri, Source(text.path, text.source), is_stale)

    def place(self, params: _Question) -> tuple[Document, int]:
        document = self.document(params.text_document.uri)
        return document, Positions(document.current.source.text, self.encoding).offset(params.position)

    def publish(self, uri: str, is_stale: bool = False) -> None:
        errors = lsp_diagnostics(self.document(uri, is_stale).current, uri, self.encoding)
        version = self.workspace.get_text_document(uri).version
        self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, errors, version))

    def publish_all(self) -> None:
        """Recompile all open documents and publish their diagnostics: a file that they extend may have changed."""
        for uri in list(self.documents.open):
            self.publish(uri, is_stale=True)


def serve(spelling: Spelling, version: str) -> None:
    """Serve on standard input and output until the editor disconnects."""
    server = CldfServer(spelling, version)

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: types.DidOpenTextDocumentParams) -> None:
        server.publish(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    async def changed(params: types.DidChangeTextDocumentParams) -> None:
        uri = params.text_document.uri
        await asyncio.sleep(_PAUSE)
        document = server.workspace.text_documents.get(uri)
        if document is not None and document.version == params.text_document.version:
            server.publish(uri)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def saved(params: types.DidSaveTextDocumentParams) -> None:
        server.publish_all()

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def files_changed(params: types.DidChangeWatchedFilesParams) -> None:
        server.publish_all()

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: types.DidCloseTextDocumentParams) -> None:
        server.documents.open.pop(params.text_document.uri, None)
        server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(params.text_document.uri, []))

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    def hover(params: types.HoverParams) -> types.Hover | None:
        text = hover_text(*server.place(params))
        return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, text)) if text else None

    @server.feature(types.TEXT_DOCUMENT_DEFINITION)
    def definition(params: types.DefinitionParams) -> list[types.Location]:
        return definitions(*server.place(params), params.text_document.uri, server.encoding)

    @server.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=["@", "\\"]))
    def completion(params: types.CompletionParams) -> list[types.CompletionItem]:
        return completions(*server.place(params), server.spelling, server.encoding)

    @server.feature(types.TEXT_DOCUMENT_FORMATTING)
    def format_document(params: types.DocumentFormattingParams) -> list[types.TextEdit]:
        return _formatting(server.document(params.text_document.uri).current.source, server.spelling, server.encoding)

    server.start_io()

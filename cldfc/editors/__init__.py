"""What other programs need to colour a spec: Pygments, and every editor that reads TextMate grammars."""

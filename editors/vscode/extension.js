// Starts `cldfc lsp` and speaks the Language Server Protocol with it over standard input and output.

const { workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

function activate() {
  const settings = workspace.getConfiguration("cldf");
  const server = { command: settings.get("command"), args: ["lsp", `--${settings.get("spelling")}`] };
  const options = {
    documentSelector: [{ language: "cldf" }],
    // A spec may extend another one, which may change outside the editor.
    synchronize: { fileEvents: workspace.createFileSystemWatcher("**/*.cldf") },
  };
  client = new LanguageClient("cldf", "CLDF", server, options);
  return client.start();
}

function deactivate() {
  return client?.stop();
}

module.exports = { activate, deactivate };

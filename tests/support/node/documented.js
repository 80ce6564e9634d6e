// A node-opcua server as its documentation starts one: every policy, and nobody's certificate is trusted yet.
// Arguments: modules folder, PKI folder, port. Says so on standard output when it listens.
"use strict";
const path = require("path");
const [modules, pki, port] = process.argv.slice(2);
const { OPCUAServer, OPCUACertificateManager } = require(path.join(modules, "node_modules", "node-opcua"));
console.log = console.info = console.warn = console.error; // the library is talkative; standard output is ours

(async () => {
  const server = new OPCUAServer({
    port: Number(port),
    resourcePath: "/UA/MyLittleServer",
    buildInfo: { productName: "MySampleServer1", buildNumber: "7658", buildDate: new Date(2014, 5, 2) },
    serverCertificateManager: new OPCUACertificateManager({ rootFolder: pki }), // not in this user's home
  });
  await server.initialize();
  await server.start();
  process.stdout.write(JSON.stringify({ ok: null }) + "\n");
  process.stdin.on("end", () => process.exit(0)).resume();
})();

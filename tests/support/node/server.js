// A node-opcua server for tests. Arguments: modules folder, PKI folder, port, plan (JSON).
// Obeys a JSON line a command on standard input, answers each with a line on standard output:
//   ["write", {"name": …, "value": …, "status": "Good"}]   ["burst", {"name": …, "values": […]}]
//   ["delete", {"name": …}]   ["add", {node}]   ["sessions", {}]
"use strict";
const path = require("path");
const readline = require("readline");
const [modules, pki, port, planText] = process.argv.slice(2);
const opcua = require(path.join(modules, "node_modules", "node-opcua"));
const { DataType, StatusCodes, Variant, VariantArrayType } = opcua;
const plan = JSON.parse(planText);
const answer = (what) => process.stdout.write(JSON.stringify(what) + "\n");
console.log = console.info = console.warn = console.error; // the library is talkative; standard output is ours

function variant(kind, value) {
  const name = kind.replace("[]", "");
  const dataType = DataType[name];
  const plain = (each) => {
    if (name === "DateTime") return new Date(each);
    if (name === "ByteString") return Buffer.from(each, "hex");
    if (name === "LocalizedText") return new opcua.LocalizedText({ text: each });
    if (name === "Int64" || name === "UInt64") {
      const big = BigInt.asUintN(64, BigInt(each));
      return [Number(big >> 32n), Number(big & 0xffffffffn)];
    }
    return each;
  };
  return kind.endsWith("[]")
    ? new Variant({ dataType, arrayType: VariantArrayType.Array, value: value.map(plain) })
    : new Variant({ dataType, arrayType: VariantArrayType.Scalar, value: plain(value) });
}

async function main() {
  const certificates = (name) =>
    new opcua.OPCUACertificateManager({ rootFolder: path.join(pki, name), automaticallyAcceptUnknownCertificate: true });
  const server = new opcua.OPCUAServer({
    port: Number(port),
    hostname: "127.0.0.1",
    resourcePath: "/lab",
    allowAnonymous: true,
    securityPolicies: (plan.policies || ["None"]).map((name) => opcua.SecurityPolicy[name]),
    securityModes: (plan.modes || ["None"]).map((name) => opcua.MessageSecurityMode[name]),
    serverCertificateManager: certificates("server"),
    userCertificateManager: certificates("user"),
    serverCapabilities: new opcua.ServerCapabilities({ operationLimits: plan.limits || {} }),
    buildInfo: { productName: "node-opcua laboratory", softwareVersion: "1" },
    userManager: { isValidUser: (user, password) => (plan.users || {})[user] === password },
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  let own;
  for (const uri of plan.namespaces) {
    const made = space.registerNamespace(uri);
    own = uri === plan.uri ? made : own;
  }
  const nodes = {};
  const add = ({ name, type, value }) => {
    const isArray = type.endsWith("[]");
    const dataType = type.replace("[]", "");
    nodes[name] = {
      type,
      node: own.addVariable({
        organizedBy: space.rootFolder.objects,
        browseName: name,
        nodeId: `s=${name}`,
        dataType,
        valueRank: isArray ? 1 : -1,
        arrayDimensions: isArray ? [0] : null,
        minimumSamplingInterval: 0,
        value: variant(type, value),
      }),
    };
  };
  const commands = {
    add,
    write: ({ name, value, status }) =>
      nodes[name].node.setValueFromSource(variant(nodes[name].type, value), StatusCodes[status || "Good"]),
    burst: ({ name, values }) => {
      for (const value of values) nodes[name].node.setValueFromSource(variant(nodes[name].type, value));
    },
    delete: ({ name }) => space.deleteNode(nodes[name].node),
    sessions: () => server.engine.currentSessionCount,
  };
  plan.nodes.forEach(add);
  await server.start();
  answer({ ok: null });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, given] = JSON.parse(line);
    try {
      const done = await commands[name](given);
      answer({ ok: done === undefined ? null : done });
    } catch (error) {
      answer({ error: String(error) });
    }
  }
  process.exit(0);
}

main().catch((error) => {
  answer({ error: String(error) });
  process.exit(1);
});

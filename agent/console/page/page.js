"use strict";
// Reads the local API and shows it. Everything that comes from outside is set as text, never as markup.

const LABELS = {
  en: {
    devices: "Devices", values: "Latest values", digests: "Digests", find: "Find a tag",
    healthy: "healthy", unhealthy: "not healthy", attention: "needs attention", away: "The agent does not answer",
    clock: "Clock", trusted: "trusted", untrusted: "not trusted", offset: "system clock is off by",
    locked: "the platform is kept out until", platform: "Platform", contact: "last contact", today: "sent today", nowhere: "none configured; digests are kept here",
    buffer: "Buffer", of: "of", samples: "samples", since: "since", gateway: "Gateway", free: "free", disk: "disk",
    memory: "memory", agent: "agent", up: "up", version: "version", never: "never", config: "Configuration",
    device: "Device", state: "State", good: "Good", bad: "Bad", last: "Last good", scan: "Scan", late: "Late",
    reconnects: "Reconnects", note: "Note", tag: "Tag", value: "Value", unit: "Unit", quality: "Quality", time: "Time", size: "Size",
    seq: "No.", period: "Period", reason: "Reason", none: "none yet", shown: (n, total) => `${n} of ${total}`,
    built: "built", lost: "Lost", nothing: "nothing",
    starting: "starting", running: "running", degraded: "degraded", down: "down", off: "off", pending: "pending", kept: "kept here",
    accepted: "accepted", rejected: "rejected", connected: "connected", waiting: "waiting", failing: "failing",
    refused: "refused", uncertain: "uncertain", ntp: "NTP", file: "file",
    prescriptions: "Prescriptions", finding: "Finding", measure: "Measure", target: "Target", until: "Until",
    received: "received", adopted: "adopted", declined: "declined", expired: "expired", withdrawn: "withdrawn",
    shift: "shift", day: "day", week: "week", month: "month",
  },
  zh: {
    devices: "设备", values: "最新数值", digests: "摘要", find: "查找点位",
    healthy: "正常", unhealthy: "异常", attention: "需要关注", away: "采集程序无响应",
    clock: "时钟", trusted: "可信", untrusted: "不可信", offset: "系统时钟偏差",
    locked: "平台锁定至", platform: "平台", contact: "最近联系", today: "今日已发送", nowhere: "未配置；摘要保存在本机",
    buffer: "缓存", of: "/", samples: "条样本", since: "始于", gateway: "网关", free: "可用", disk: "磁盘",
    memory: "内存", agent: "采集程序", up: "已运行", version: "版本", never: "从未", config: "配置",
    device: "设备", state: "状态", good: "有效", bad: "无效", last: "最近有效", scan: "扫描", late: "延误",
    reconnects: "重连", note: "说明", tag: "点位", value: "数值", unit: "单位", quality: "质量", time: "时间", size: "大小",
    seq: "序号", period: "时段", reason: "原因", none: "暂无", shown: (n, total) => `${n} / ${total}`,
    built: "已生成", lost: "丢失", nothing: "无",
    starting: "启动中", running: "运行", degraded: "部分异常", down: "离线", off: "停用", pending: "待发送", kept: "保存在本机",
    accepted: "已接收", rejected: "被拒绝", connected: "已连接", waiting: "等待", failing: "失败",
    prescriptions: "处方", finding: "诊断依据", measure: "改进措施", target: "目标", until: "截止",
    received: "已接收", adopted: "已采纳", declined: "未采纳", expired: "已过期", withdrawn: "已撤回",
    refused: "被拒绝", uncertain: "可疑", ntp: "NTP", file: "本地文件", d: "天", h: "小时", min: "分", s: "秒",
    shift: "班次", day: "日", week: "周", month: "月",
  },
};
const TONE = {
  healthy: "good", running: "good", accepted: "good", adopted: "good", received: "warn", connected: "good", good: "good",
  attention: "warn", degraded: "warn", pending: "warn", starting: "warn", waiting: "warn",
  uncertain: "warn", unhealthy: "bad", down: "bad", rejected: "bad", failing: "bad", refused: "bad", bad: "bad", off: "off",
};
const EVERY_MS = 3000, SHOWN = 200;

const asked = new URLSearchParams(location.search).get("lang");
let language = asked === "zh" || (asked === null && navigator.language.startsWith("zh")) ? "zh" : "en";
const label = (key) => LABELS[language][key] ?? key;
const at = (id) => document.getElementById(id);

function element(name, content, className = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...[content].flat(2).filter((part) => part !== null && part !== undefined));
  return made;
}
const pill = (word) => element("span", label(word), `pill ${TONE[word] ?? "off"}`);
const number = (content) => element("td", String(content), "number");
const cell = (content, className = "") => element("td", content, className);

function rows(body, list, columns) {
  const empty = element("td", label("none"), "quiet");
  empty.colSpan = columns;
  at(body).replaceChildren(...(list.length ? list.map((cells) => element("tr", cells)) : [element("tr", empty)]));
}
function head(id, keys, numeric = []) {
  at(id).replaceChildren(element("tr", keys.map((key) => element("th", label(key), numeric.includes(key) ? "number" : ""))));
}

function size(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  while (count >= 1000 && power < units.length - 1) { count /= 1000; power += 1; }
  return `${count.toFixed(power === 0 || count >= 100 ? 0 : 1)} ${units[power]}`;
}
function duration(seconds) {
  const parts = [[86400, label("d")], [3600, label("h")], [60, label("min")], [1, label("s")]];
  const shown = [];
  for (const [length, unit] of parts) {
    const count = Math.floor(seconds / length);
    seconds -= count * length;
    if (count || shown.length || length === 1) shown.push(`${count} ${unit}`);
  }
  return shown.slice(0, 2).join(" ");
}
const two = (count) => String(count).padStart(2, "0");
function clock(iso, day = false) {
  if (!iso) return label("never");
  const time = new Date(iso);
  const hours = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  const other = day || time.toDateString() !== new Date().toDateString();
  return other ? `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${hours}` : hours;
}
function value(content) {
  if (content === null) return "–";
  return typeof content === "number" ? String(Number(content.toPrecision(7))) : content;
}

function card(title, main, small) {
  return element("div", [element("dt", title), element("dd", [main, small ? element("small", small) : null])]);
}
function showStatus(status) {
  document.title = `${status.gateway} · Gongfu Edge`;
  at("gateway").textContent = status.gateway;
  at("identity").textContent =
    `${status.gateway_id} · ${label("version")} ${status.version} · ${label("up")} ${duration(status.uptime_s)}`;
  const { verdict } = status.health;
  at("health").textContent = label(verdict);
  at("health").className = `pill ${TONE[verdict]}`;
  at("notices").replaceChildren(
    ...status.health.reasons.map((text) => element("li", text, "bad")),
    ...status.health.warnings.map((text) => element("li", text, "warn")),
  );
  at("cards").replaceChildren(...cards(status));
  rows("devices", status.devices.map(deviceRow), 9);
}
// Without a platform nothing waits to be sent: what is built is meant to stay.
const sent = (status, state) => (state === "pending" && status.uplink.state === "off" ? "kept" : state);
function cards(status) {
  const { clock: time, uplink, buffer, digests, host, ledger, config } = status;
  const lost = Object.entries(ledger).map(([cause, loss]) => `${cause}: ${loss.count}`).join(", ");
  const made = [
    card(label("clock"), `${clock(status.time)} · ${label(time.trusted ? "trusted" : "untrusted")} (${label(time.source)})`,
      `${label("offset")} ${time.offset_s} s`),
    card(label("platform"), uplink.state === "off" ? label("nowhere") : [pill(uplink.state), ` ${uplink.last_error}`],
      uplink.state === "off" ? "" : `${uplink.url} · ${label("contact")} ${clock(uplink.last_contact)} · ${label("today")} ` +
        size(uplink.bytes_today) + (uplink.max_bytes_per_day ? ` ${label("of")} ${size(uplink.max_bytes_per_day)}` : "")),
    card(label("digests"), `${digests.built} ${label("built")}, ${digests.pending} ${label(sent(status, "pending"))}`,
      `${digests.accepted} ${label("accepted")}, ${digests.rejected} ${label("rejected")} · ${clock(digests.last_accepted)}`),
    card(label("buffer"), size(buffer.bytes) + (buffer.max_bytes ? ` ${label("of")} ${size(buffer.max_bytes)}` : ""),
      buffer.failing || `${buffer.samples} ${label("samples")}, ${label("since")} ${clock(buffer.oldest)}`),
    card(label("lost"), lost || label("nothing"), ""),
    card(label("config"), label(config.source), `${config.running_hash.slice(0, 12)} ${config.last_error}` +
      (config.locked_until ? ` · ${label("locked")} ${config.locked_until}` : "")),
  ];
  if (host) {
    const heat = host.temperature_c === null ? "" : ` · ${host.temperature_c.toFixed(0)} °C`;
    made.push(card(label("gateway"), `CPU ${host.cpu_percent.toFixed(0)} %${heat}`,
      `${label("memory")} ${size(host.memory_available)}, ${label("disk")} ${size(host.disk_free)} ${label("free")} · ` +
        `${label("agent")} ${size(host.rss)}`));
  }
  return made;
}
function deviceRow(device) {
  const note = [device.last_error, device.remedy, ...device.faults.slice(0, 3)].filter(Boolean).join(" → ");
  return [
    cell(device.name), cell(pill(device.state)), number(device.good), number(device.bad), cell(clock(device.last_good)),
    number(`${device.latency_ms.toFixed(1)} ms`), number(device.late), number(device.reconnects), cell(note, "wide"),
  ];
}
function showValues({ values, total }) {
  at("value-count").textContent = label("shown")(values.length, total);
  rows("values", values.map((each) => [
    cell(each.tag), number(value(each.value)), cell(each.unit),
    cell([pill(each.quality), each.quality_cause ? ` ${each.quality_cause}` : null]), cell(clock(each.time)),
  ]), 5);
}
const inLanguage = (texts) => (texts ? texts[language] || texts.en || texts.zh : "");
function wanted(target) {
  if (!target) return "";
  return `${target.indicator} · ${target.machine} ${target.side === "at_least" ? "≥" : "≤"} ${value(target.value)}`;
}
function showPrescriptions({ prescriptions }) {
  at("prescribed").hidden = prescriptions.length === 0;
  rows("prescriptions", prescriptions.map((each) => [
    cell(`${each.id || "?"} · ${each.revision}`),
    cell([pill(each.state), ` ${each.adopted_on ?? (each.state === "declined" ? each.reason : "")}`]),
    cell(each.text ? inLanguage(each.text) : each.reason, "wide"), cell(inLanguage(each.measure), "wide"),
    cell(wanted(each.target), "wide"), cell(each.until ?? ""),
  ]), 6);
}
function span({ kind, start, end }) {
  const text = `${clock(start, true)} – ${clock(end, ["day", "week", "month"].includes(kind))}`;
  return kind === "period" ? text : `${text} · ${label(kind)}`;
}
function showDigests({ digests }, status) {
  rows("digests", digests.map((each) => [
    number(each.seq), cell(span(each)), cell(pill(sent(status, each.state))),
    cell(size(each.bytes)), cell(each.hash.slice(0, 16)), cell(each.reason, "wide"),
  ]), 6);
}

function showLabels() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const node of document.querySelectorAll("[data-label]")) node.textContent = label(node.dataset.label);
  at("language").textContent = language === "zh" ? "English" : "中文";
  at("match").placeholder = label("find");
  at("match").setAttribute("aria-label", label("find"));
  head("device-head", ["device", "state", "good", "bad", "last", "scan", "late", "reconnects", "note"],
    ["good", "bad", "scan", "late", "reconnects"]);
  head("value-head", ["tag", "value", "unit", "quality", "time"], ["value"]);
  head("prescription-head", ["seq", "state", "finding", "measure", "target", "until"]);
  head("digest-head", ["seq", "period", "state", "size", "SHA-256", "reason"], ["seq"]);
}
async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(10000) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}
async function refresh() {
  const match = encodeURIComponent(at("match").value);
  try {
    const [status, values, digests, prescriptions] = await Promise.all([
      ask("api/status"), ask(`api/latest?limit=${SHOWN}&match=${match}`), ask("api/digests?limit=20"), ask("api/prescriptions")]);
    showStatus(status);
    showValues(values);
    showDigests(digests, status);
    showPrescriptions(prescriptions);
  } catch (error) {
    at("health").textContent = label("unhealthy");
    at("health").className = "pill bad";
    at("notices").replaceChildren(element("li", `${label("away")}: ${error.message}`, "bad"));
  }
}
async function refreshForEver() {
  if (!document.hidden) await refresh();
  setTimeout(refreshForEver, EVERY_MS);
}

at("language").addEventListener("click", () => { language = language === "zh" ? "en" : "zh"; showLabels(); refresh(); });
at("match").addEventListener("input", refresh);
showLabels();
refreshForEver();

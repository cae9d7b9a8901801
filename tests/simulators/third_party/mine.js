// Mines at a Stratum pool through npm's `stratum-client`: that library does the talking, hashing is Node's own.
// node mine.js PORT SCALE SHARES: ends when so many shares were taken, and prints how many were and were not.
const crypto = require("crypto");
const [port, scale, wanted] = process.argv.slice(2).map(Number);
const twice = (data) => crypto.createHash("sha256").update(crypto.createHash("sha256").update(data).digest()).digest();
const reversed = (hex) => Buffer.from(hex, "hex").reverse();
let taken = 0, refused = 0, count = 0, work = null;

const client = require("stratum-client")({
  server: "127.0.0.1", port, worker: "hashwatt.node", password: "x", autoReconnectOnError: false,
  onError: (error) => { console.error(error.message); process.exit(1); },
  onSubmitWorkFail: () => { refused += 1; },
  onSubmitWorkSuccess: () => {
    taken += 1;
    if (taken >= wanted) { console.log(JSON.stringify({ taken, refused })); process.exit(0); }
  },
  onNewMiningWork: (job) => { const first = work === null; work = job; if (first) mine(); },
});

function mine() {
  const job = work;
  const extranonce2 = (count++).toString(16).padStart(2 * job.extraNonce2Size, "0");
  let root = twice(Buffer.from(job.coinb1 + job.extraNonce1 + extranonce2 + job.coinb2, "hex"));
  for (const branch of job.merkle_branch) root = twice(Buffer.concat([root, Buffer.from(branch, "hex")]));
  const previous = Buffer.from(job.prevhash, "hex").swap32();
  const header = Buffer.concat(
    [reversed(job.version), previous, root, reversed(job.ntime), reversed(job.nbits), Buffer.alloc(4)]);
  const target = ((0xffffn << 208n) << 64n) / BigInt(Math.round(job.miningDiff * scale * 2 ** 64));
  for (let nonce = 0; nonce < 500; nonce++) {
    header.writeUInt32LE(nonce, 76);
    if (BigInt("0x" + twice(header).reverse().toString("hex")) <= target)
      client.submit({ worker_name: "hashwatt.node", job_id: job.jobId, extranonce2, ntime: job.ntime,
        nonce: nonce.toString(16).padStart(8, "0") });
  }
  setTimeout(mine, 20);
}

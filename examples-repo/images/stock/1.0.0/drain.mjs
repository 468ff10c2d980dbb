// Run beside the server, with its environment: exit status 0 says that the node may be stopped.
const response = await fetch(`http://127.0.0.1:${process.env.PORT}/drain`, { method: 'POST' });
console.log(await response.text());
process.exitCode = response.ok ? 0 : 1;

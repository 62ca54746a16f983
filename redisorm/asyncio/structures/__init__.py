"""The awaited handles on live structures. Iteration is `async for`; what operators do, named methods do."""

module google.golang.org/genproto/googleapis/bytestream

go 1.24.5

require (
	e2e.invalid/bytestream v0.0.0
	google.golang.org/grpc v1.74.2
)

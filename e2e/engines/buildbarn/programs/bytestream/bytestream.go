// Package bytestream stands for genproto's package of this name, whose RegisterByteStreamServer takes a *grpc.Server
// alone. Buildbarn hands it any grpc.ServiceRegistrar, which works where Bazel generates that function. Everything else
// is genproto's.
package bytestream

import (
	"context"

	original "e2e.invalid/bytestream"
	"google.golang.org/grpc"
)

type (
	ByteStreamClient         = original.ByteStreamClient
	ByteStreamServer         = original.ByteStreamServer
	ByteStream_ReadClient    = original.ByteStream_ReadClient
	ByteStream_ReadServer    = original.ByteStream_ReadServer
	ByteStream_WriteServer   = original.ByteStream_WriteServer
	QueryWriteStatusRequest  = original.QueryWriteStatusRequest
	QueryWriteStatusResponse = original.QueryWriteStatusResponse
	ReadRequest              = original.ReadRequest
	ReadResponse             = original.ReadResponse
	WriteRequest             = original.WriteRequest
	WriteResponse            = original.WriteResponse
)

func NewByteStreamClient(connection grpc.ClientConnInterface) ByteStreamClient {
	return original.NewByteStreamClient(connection)
}

const service = "google.bytestream.ByteStream"

// RegisterByteStreamServer is why this package exists.
func RegisterByteStreamServer(registrar grpc.ServiceRegistrar, server ByteStreamServer) {
	registrar.RegisterService(&grpc.ServiceDesc{
		ServiceName: service,
		HandlerType: (*ByteStreamServer)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "QueryWriteStatus", Handler: queryWriteStatus}},
		Streams: []grpc.StreamDesc{
			{StreamName: "Read", ServerStreams: true, Handler: read},
			{StreamName: "Write", ClientStreams: true, Handler: write},
		},
		Metadata: "google/bytestream/bytestream.proto",
	}, server)
}

func read(server any, stream grpc.ServerStream) error {
	request := new(ReadRequest)
	if err := stream.RecvMsg(request); err != nil {
		return err
	}
	answers := &grpc.GenericServerStream[ReadRequest, ReadResponse]{ServerStream: stream}
	return server.(ByteStreamServer).Read(request, answers)
}

func write(server any, stream grpc.ServerStream) error {
	return server.(ByteStreamServer).Write(&grpc.GenericServerStream[WriteRequest, WriteResponse]{ServerStream: stream})
}

func queryWriteStatus(
	server any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor,
) (any, error) {
	request := new(QueryWriteStatusRequest)
	if err := decode(request); err != nil {
		return nil, err
	}
	call := func(ctx context.Context, request any) (any, error) {
		return server.(ByteStreamServer).QueryWriteStatus(ctx, request.(*QueryWriteStatusRequest))
	}
	if interceptor == nil {
		return call(ctx, request)
	}
	info := &grpc.UnaryServerInfo{Server: server, FullMethod: "/" + service + "/QueryWriteStatus"}
	return interceptor(ctx, request, info, call)
}

"""Clients of the gRPC services that know nothing of this program: everything that they send is built from what server reflection says.

Run by tests/it/clients.rs:

    clients.py reflection ADDRESS   lists services, describes one, takes a reading in, lists alerts; prints what it saw as JSON
    clients.py health ADDRESS       follows the health of the process until it is not serving; prints each state on a line
    clients.py states ADDRESS ID    follows one vehicle; prints each state on a line as JSON, and ends with the stream
"""

import json
import sys
import time

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

DEADLINE_S = 20


class Reflected:
    """Calls methods by their names, with messages as dictionaries."""

    def __init__(self, channel):
        self.channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def services(self):
        return sorted(self.database.get_services())

    def describe(self, service):
        methods = self.pool.FindServiceByName(service).methods
        return {
            method.name: [method.input_type.full_name, method.output_type.full_name, bool(method.server_streaming)]
            for method in methods
        }

    def call(self, service, method, request):
        found = self.pool.FindServiceByName(service).FindMethodByName(method)
        question = message_factory.GetMessageClass(found.input_type)
        answer = message_factory.GetMessageClass(found.output_type)
        kind = self.channel.unary_stream if found.server_streaming else self.channel.unary_unary
        ask = kind(
            f"/{service}/{method}",
            request_serializer=question.SerializeToString,
            response_deserializer=answer.FromString,
        )
        message = json_format.ParseDict(request, question(), descriptor_pool=self.pool)
        return ask(message, timeout=DEADLINE_S)


def as_dictionary(message):
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def say(value):
    print(json.dumps(value), flush=True)


def reflection(channel):
    service = Reflected(channel)
    reading = {
        "vehicle_id": "python-1",
        "recorded_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60)),
        "signals": {"speed_km_per_h": 63.25},
    }
    first = service.call("odograph.v1.TelemetryService", "IngestReading", reading)
    again = service.call("odograph.v1.TelemetryService", "IngestReading", reading)
    alerts = service.call("odograph.v1.AlertService", "ListAlerts", {"vehicle_id": "python-1"})
    try:
        service.call("odograph.v1.AlertService", "AcknowledgeAlert", {"alert_id": "none"})
        refused = None
    except grpc.RpcError as error:
        refused = [error.code().name, error.details()]
    say({
        "services": service.services(),
        "telemetry": service.describe("odograph.v1.TelemetryService"),
        "first": as_dictionary(first),
        "again": as_dictionary(again),
        "alerts": as_dictionary(alerts),
        "refused": refused,
    })


def health(channel):
    """Ends where the process says that it does not serve any more, or goes."""
    stub = health_pb2_grpc.HealthStub(channel)
    name = health_pb2.HealthCheckResponse.ServingStatus.Name
    checked = stub.Check(health_pb2.HealthCheckRequest(service="odograph.v1.AlertService"), timeout=DEADLINE_S)
    say(["check", name(checked.status)])
    has_served = False
    try:
        for status in stub.Watch(health_pb2.HealthCheckRequest(service="odograph.v1.TelemetryService")):
            say(["watch", name(status.status)])
            if has_served and status.status == health_pb2.HealthCheckResponse.NOT_SERVING:
                return
            has_served = has_served or status.status == health_pb2.HealthCheckResponse.SERVING
    except grpc.RpcError as error:
        say(["gone", error.code().name])


def states(channel, vehicle_id):
    service = Reflected(channel)
    for state in service.call("odograph.v1.TelemetryService", "StreamVehicleState", {"vehicle_id": vehicle_id}):
        say(as_dictionary(state))


def main():
    command, address, *rest = sys.argv[1:]
    with grpc.insecure_channel(address) as channel:
        {"reflection": reflection, "health": health, "states": states}[command](channel, *rest)


if __name__ == "__main__":
    main()

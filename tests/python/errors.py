"""Errors as a client in another language gets them.

Usage: errors.py FOLDER, where the compiled protos are; ENDPOINT comes by the environment. Takes a JSON array of calls from
stdin, each {"method", "request", "token"}, and prints a line for each: code, colon, sentence.
"""

import json
import os
import sys

import grpc
from google.protobuf import json_format

sys.path.insert(0, sys.argv[1])
from sslmanager.v1 import domains_pb2 as d  # noqa: E402
from sslmanager.v1 import domains_pb2_grpc  # noqa: E402

LIMIT = 60


def error_of(domains, call):
    request = json_format.ParseDict(call["request"], getattr(d, call["method"] + "Request")())
    metadata = [("authorization", f"Bearer {call['token']}")] if call["token"] else []
    try:
        getattr(domains, call["method"])(request, metadata=metadata, timeout=LIMIT)
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"
    return "OK"


with grpc.insecure_channel(os.environ["ENDPOINT"]) as channel:
    stub = domains_pb2_grpc.DomainsStub(channel)
    for call in json.load(sys.stdin):
        print(error_of(stub, call))

"""OPC UA over opc.tcp; reads, browses and subscribes only."""

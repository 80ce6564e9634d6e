"""A simulated plant that tells the truth: a press, its meter and a compressor over Modbus, a CNC over OPC UA.

Run it with ``python -m scripts.sandbox.plant --tcp-port 5020 --rtu-link /tmp/compressor --opcua-port 4840``, or use
:class:`Plant` in a test. All addresses are 0-based, as on the wire. What is not listed is a hole: a
read that touches it is refused with exception 2.

Modbus TCP, unit 1: the press, model of a 160 t eccentric press

=========  ============  ==================================================================
holding    type          value
=========  ============  ==================================================================
0          uint16        state: 0 off, 1 standby, 2 executing, 3 fault
1          uint16        alarms: bit 0 oil hot, 1 guard open, 2 lubrication, 3 overload
2–3        uint32 ABCD   parts produced
4–5        uint32 ABCD   good parts
6–7        uint32 ABCD   scrap parts
8          uint16        strokes; rolls over at 65536, soon after the start
9          int16         hydraulic pressure, 0.1 bar
10–11      float32 CDAB  oil temperature, °C
12–13      float32 ABCD  strokes a minute; 0 when it stands
20–27      string        serial number, 16 characters
=========  ============  ==================================================================

=========  ============  ==================================================================
discrete   type          value
=========  ============  ==================================================================
0          bool          running
1          bool          fault
2          bool          guard closed
=========  ============  ==================================================================

Modbus TCP, unit 2: the press's energy meter, with the map of a Chint DTSU666, all float32 ABCD

==============  =========================================================================
holding         value
==============  =========================================================================
0006h, 0007h    uint16: ratio of the current transformers 1, of the voltage transformers 10 (× 0.1)
2000h/02h/04h   line voltages, 0.1 V
2006h/08h/0Ah   phase voltages, 0.1 V
200Ch/0Eh/10h   phase currents, 0.001 A
2012h           active power, 0.1 W; 2014h/16h/18h by phase
202Ah           power factor, 0.001
2044h           frequency, 0.01 Hz
101Eh           energy imported, kWh
1028h           energy exported, kWh
==============  =========================================================================

Modbus RTU, unit 3: the compressor

=========  ============  ==================================================================
input      type          value
=========  ============  ==================================================================
0          uint16        tank pressure, 0.01 bar
1          int16         outlet temperature, 0.1 °C
2          uint16        load, %
3          uint16        state: 1 running unloaded, 2 loaded
4–5        uint32 CDAB   running time, s
6–7        uint32 CDAB   loaded time, s
=========  ============  ==================================================================

OPC UA, no security: the machining centre ``cnc-1``, below ``Objects/Machines`` as OPC UA for Machinery has it.
Each node's id is ``nsu=urn:gongfu:plant:cnc-1;s=`` and its name.

===================  ===========  ======================================================
node                 type         value
===================  ===========  ======================================================
CurrentState         text         MachineryItemState, by name
CurrentState.Number  UInt32       0 NotAvailable, 1 OutOfService, 2 NotExecuting, 3 Executing
SpindleLoad          Double       %
Power                Double       kW
Energy               Double       kWh
AxisPositions        Double[3]    X, Y and Z, mm
PartsProduced        UInt32       parts produced
PartsGood            UInt32       good parts
Program              String       program that runs
Alarm                String       text of the alarm; empty when there is none
===================  ===========  ======================================================

At ``--speed X`` everything in the plant happens X times as fast; energy then grows X times as fast as
the power shown would make it by the wall clock.
"""

from __future__ import annotations

from scripts.sandbox.plant.plant import Plant

__all__ = ["Plant"]

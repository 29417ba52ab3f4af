"""Tables of patients: the file formats."""

from medcl.modality.base import Format
from medcl.modality.table.formats.identify import is_patient_table, is_time_table

FORMATS = (
    Format("patient-table", is_patient_table, "tables", several=True),
    Format("time-table", is_time_table, "tables", several=True),
)
"""Every format of tables, in the order in which a file is tested: adding one is a module and a line here."""
